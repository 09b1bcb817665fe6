"""Models that were trained elsewhere: what their folders hold, and what their settings mean."""
