"""Artifacts on disk: their folders, content keys, atomic writes, and the detection of damage."""
