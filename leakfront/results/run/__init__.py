"""A finished run as tables and figures read it."""
