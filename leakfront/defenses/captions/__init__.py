"""What defenses do to captions that are spelled in tokens."""
