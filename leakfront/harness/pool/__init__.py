"""Which images a run is about, and who is a member."""
