"""What attacks ask of a model: its queries, its gradients, and the views of an image that they ask about."""
