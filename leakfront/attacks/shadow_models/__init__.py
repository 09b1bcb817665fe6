"""What attacks choose and fit on shadow models."""
