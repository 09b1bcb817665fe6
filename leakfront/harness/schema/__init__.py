"""Settings and parameters as JSON Schema, for editors and for `leakfront list --json`."""
