"""This machine: its memory, its clock, and what of it decides a number."""
