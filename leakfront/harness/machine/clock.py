"""What work costs in time, on a machine that may be busy with other things."""

from __future__ import annotations

import time

CPU, WALL = "CPU time", "wall time"


def kind_of_time(device: str) -> str:
    """What a `Stopwatch` counts there."""
    return WALL if device.startswith("cuda") else CPU


class Stopwatch:
    """Counts the seconds since it was made.

    On a CPU, the CPU time of this process, all its threads together, which other processes hardly lengthen; on a GPU,
    the time that passed until its queue was empty.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._on_gpu = kind_of_time(device) == WALL
        self._start = self._now()

    @property
    def seconds(self) -> float:
        return self._now() - self._start

    def _now(self) -> float:
        if not self._on_gpu:
            return time.process_time()
        import torch

        torch.cuda.synchronize(self._device)
        return time.monotonic()
