"""Names of files in the pool's folder, for those who write them and those who read them."""

NAMES = "names.txt"  # the name of each image's file, one a line
SUBJECTS = "subjects.txt"  # the same of its subject
