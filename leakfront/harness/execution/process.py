"""A worker process: its tasks, its set-up, and its events."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leakfront.harness.execution.devices import show_gpus
from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.plan import Plan
from leakfront.memory import collect_less

_events: Any = None
_plans: dict[tuple[str, str | None], Plan] = {}


@dataclass(frozen=True)
class Task:
    """One stage of one cell, or of the whole run; small enough to send to another process.

    root: the run's folder. settings: the resolved config, as JSON. data: what the files of the data set hold, from the
    plan of the process that sends the task; with None, they are examined where the task runs. shadows: the
    cells whose models serve as shadow models. snapshots: for a training, as (steps, key of the weights); see `Work`.
    """

    stage: str
    root: Path
    settings: str
    cell: str = ""
    data: str | None = None
    shadows: tuple[str, ...] = ()
    snapshots: tuple[tuple[int, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.cell}: {self.stage}" if self.cell else f"the {self.stage}"


def environment(threads: int) -> dict[str, str]:
    """The environment variables that a worker process must be started with."""
    return {
        # OpenMP threads spin while they wait, which on busy cores costs far more than it saves
        "OMP_WAIT_POLICY": "passive",
        "OMP_NUM_THREADS": str(threads),
        # glibc: keep freed memory instead of handing every large tensor back to the kernel (a forward pass of a small
        # UNet took 31 ms without and 22 ms with it)
        "MALLOC_MMAP_THRESHOLD_": os.environ.get("MALLOC_MMAP_THRESHOLD_", str(64 * 2**20)),
        "MALLOC_TRIM_THRESHOLD_": os.environ.get("MALLOC_TRIM_THRESHOLD_", str(256 * 2**20)),
    }


def start_worker(events: Any, threads: int, gpus: Sequence[int] = ()) -> None:
    """Set up a local worker process. It ignores Ctrl-C, which the parent handles, and ends when the parent ends.

    events, threads: see `set_up`. gpus: the numbers of its GPUs; empty: all.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()
    if gpus:
        show_gpus(gpus)
    set_up(events, threads)


def set_up(events: Any, threads: int) -> None:
    """Set the receiver of this process's events, an object with `put`, and its number of threads."""
    global _events
    _events = events
    collect_less()
    import torch

    torch.set_num_threads(threads)


def _follow_parent() -> None:
    """End this process as soon as its parent ends, for whatever reason."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def plan_of(task: Task) -> Plan:
    """The plan of a task's run, made once per process."""
    from leakfront.harness.settings.sections import Config

    known = (task.settings, task.data)
    if known not in _plans:
        _plans[known] = make_plan(Config.model_validate_json(task.settings), data=task.data)
    return _plans[known]


def forget() -> None:
    """Forget the plans of earlier runs in this process."""
    _plans.clear()


def emit(event: dict[str, Any]) -> None:
    """Send an event to the process that started this one."""
    _events.put(event)
