"""What the figures share: style, labels, layouts."""
