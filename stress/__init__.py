"""Faults that a run must survive: each module that defines `run(seed, budget)` is one kind. `python -m stress`."""
