"""The settings of a run: the sections of a config, its file, and the settings of `leakfront attack`."""
