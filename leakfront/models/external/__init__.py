"""Reading external models, which were trained elsewhere: their folders and their settings."""
