"""Runs a benchmark with the plug-ins of all rooms: settings, plan, pool, training loop, stages, store, execution."""
