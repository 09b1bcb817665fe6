"""Peak memory of a piece of work."""

from __future__ import annotations

import math
from pathlib import Path
from types import TracebackType


class PeakMemory:
    """Measures the peak memory between entering and leaving, in MiB, as `mib`.

    On a GPU, what torch allocated; on a CPU, the resident memory of the whole process (Linux only, else nan).
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self.mib = math.nan

    def __enter__(self) -> PeakMemory:
        if self._device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            try:
                Path("/proc/self/clear_refs").write_text("5")  # reset the kernel's high-water mark
            except OSError:
                self._device = "unknown"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._device.startswith("cuda"):
            import torch

            self.mib = torch.cuda.max_memory_allocated(self._device) / 2**20
        elif self._device == "cpu":
            status = Path("/proc/self/status").read_text()
            (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
            self.mib = int(line.split()[1]) / 1024
