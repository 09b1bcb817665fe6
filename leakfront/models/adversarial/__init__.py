"""Generative adversarial networks: what the family `gan` is made of."""
