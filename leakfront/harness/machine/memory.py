"""The peak memory of some work, and the number of cores that this process may use."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import sys
from pathlib import Path
from types import TracebackType


class PeakMemory:
    """Measures the peak memory between entering and leaving, in MiB, as `mib`.

    On a GPU: the memory that torch allocated. On a CPU: the resident memory of the whole process (Linux only, else
    nan). On entering, the process first returns the memory that earlier work has freed.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._of_process = device == "cpu" and sys.platform == "linux"
        self.mib = math.nan

    def __enter__(self) -> PeakMemory:
        if self._device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)
        elif self._of_process:
            gc.collect()
            if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # of glibc
                trim(0)
            try:
                Path("/proc/self/clear_refs").write_text("5")  # reset the kernel's high-water mark
            except OSError:
                self._of_process = False
        return self

    def now(self) -> float:
        """The peak so far, in MiB; nan if it cannot be measured."""
        if self._device.startswith("cuda"):
            import torch

            return float(torch.cuda.max_memory_allocated(self._device) / 2**20)
        if not self._of_process:
            return math.nan
        status = Path("/proc/self/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.mib = self.now()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
