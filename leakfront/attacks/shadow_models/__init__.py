"""Choices and fits that attacks make on shadow models."""
