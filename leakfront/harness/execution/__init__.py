"""Where the work runs: worker processes, Ray, several processes for one model."""
