"""A run's numbers for trackers of experiments: TensorBoard, Weights & Biases and Trackio, one file each."""
