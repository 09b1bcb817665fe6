"""What attacks ask of a model: predictions and gradients for a batch of images, and the views that they ask about."""
