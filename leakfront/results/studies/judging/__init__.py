"""What all studies share: their rows, their answers, and the report over them."""
