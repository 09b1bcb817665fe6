"""What was asked: the sections of a config, its file, and the settings of `leakfront attack`."""
