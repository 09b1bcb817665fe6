"""Files of images: which of a folder are read, and what is in them."""
