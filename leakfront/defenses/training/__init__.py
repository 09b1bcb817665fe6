"""The training steps of the defenses, and the parts that these steps share."""
