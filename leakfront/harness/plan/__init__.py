"""What follows from the settings: models to train, keys of all artifacts, limits, costs."""
