"""The images of a run, and which of them are members."""
