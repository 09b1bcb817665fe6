"""Speed and memory, compared with the alternatives that users have and with the physical limit."""
