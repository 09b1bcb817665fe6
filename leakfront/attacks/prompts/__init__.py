"""Choices of the captions that are worth many generations, blind to coins."""
