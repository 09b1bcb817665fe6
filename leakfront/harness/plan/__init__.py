"""From settings to a plan: the models to train, the keys of all artifacts, limits, costs."""
