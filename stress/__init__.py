"""What a run survives: every module here that defines `run(seed, budget)` is a kind of fault. `python -m stress`."""
