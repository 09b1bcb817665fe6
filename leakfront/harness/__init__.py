"""What ties the rooms together: settings, plan, pool, training loop, stages, store, execution."""
