"""The one training loop, and its state on disk."""
