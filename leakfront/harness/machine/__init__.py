"""This machine: memory, time, versions, and a fix for torchvision builds that do not fit torch."""
