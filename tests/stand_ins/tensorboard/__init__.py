"""A stand-in for tensorboard, which is there and does nothing; torch's writer is replaced too."""
