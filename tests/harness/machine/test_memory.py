"""Peak memory."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_WORK = """
import numpy as np
from leakfront.harness.machine.memory import PeakMemory

with PeakMemory("cpu") as before:
    pass
earlier = [np.ones(2**17) for _ in range(300)]  # 1 MiB each
held = np.ones(2**17)
del earlier
with PeakMemory("cpu") as idle:
    pass
with PeakMemory("cpu") as busy:
    np.ones(2**24)  # 128 MiB
print(before.mib, idle.mib, busy.mib)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_peak_is_that_of_the_work_without_earlier_memory():
    """In a process that keeps freed memory, as workers do."""
    keeping = {"MALLOC_MMAP_THRESHOLD_": str(2**26), "MALLOC_TRIM_THRESHOLD_": str(2**40)}
    command = [sys.executable, "-c", _WORK]
    done = subprocess.run(command, env=os.environ | keeping, capture_output=True, text=True, check=True)
    before, idle, busy = map(float, done.stdout.split())
    assert before < idle < before + 30
    assert busy - idle == pytest.approx(128, abs=5)
