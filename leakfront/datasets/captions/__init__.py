"""Captions: made for handwritten digits, or read from the files beside the images of a folder."""
