"""What is written, under which key, and whether it is still what was written."""
