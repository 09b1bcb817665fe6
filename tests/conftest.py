"""Settings that every test shares."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("MPLBACKEND", "agg")

# its tests register plug-ins, so test_registry.py runs them in a separate process
collect_ignore = ["plugin_package"]
