"""Leakfront measures what a defense against training-data leakage buys: extractable images against image quality."""

from leakfront.harness.machine.torchvision_operators import install

__version__ = "0.1.0"

install()
