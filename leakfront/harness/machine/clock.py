"""Measure how long work takes, on a machine that may be busy with other things."""

from __future__ import annotations

import time

CPU, WALL = "CPU time", "wall time"


def kind_of_time(device: str) -> str:
    """The kind of time that a `Stopwatch` measures on a device: `CPU` or `WALL`."""
    return WALL if device.startswith("cuda") else CPU


class Stopwatch:
    """Measures the seconds since it was created.

    On a CPU: the CPU time of this process, summed over its threads, which other processes hardly change. On a GPU: the
    wall time until the GPU's queue is empty.
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
