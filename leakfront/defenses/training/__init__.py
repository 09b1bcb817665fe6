"""The training steps that defenses put in place of the plain one, and what they share."""
