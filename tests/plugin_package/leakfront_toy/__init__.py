"""One small plug-in of each kind for leakfront. It imports public names only."""
