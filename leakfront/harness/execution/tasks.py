"""What runs inside a worker process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from leakfront.harness.execution.devices import show_gpus
from leakfront.harness.plan.plan import Plan, make_plan
from leakfront.harness.store.artifacts import stored_key
from leakfront.harness.store.layout import Layout

_events: Any = None
_plans: dict[str, Plan] = {}


@dataclass(frozen=True)
class Task:
    """One piece of work on a run, small enough to be sent to another process.

    kind: "reference", "model" (prepare, train and sample a cell), "probe" (a cell, after
    the features of its samples) or "measure" (attack and measure
    a cell whose shadow models are the cells named in `shadows`). settings: the resolved config.
    """

    kind: Literal["reference", "model", "probe", "measure"]
    root: Path
    settings: str
    cell: str = ""
    shadows: tuple[str, ...] = ()


def environment(threads: int) -> dict[str, str]:
    """The environment variables that a worker process must be started with."""
    return {
        # the threads of OpenMP spin while they wait, which on busy cores costs far more than it saves
        "OMP_WAIT_POLICY": "passive",
        "OMP_NUM_THREADS": str(threads),
        # glibc: keep freed memory instead of handing every large tensor back to the kernel (a forward pass of a small
        # UNet took 31 ms without and 22 ms with it)
        "MALLOC_MMAP_THRESHOLD_": os.environ.get("MALLOC_MMAP_THRESHOLD_", str(64 * 2**20)),
        "MALLOC_TRIM_THRESHOLD_": os.environ.get("MALLOC_TRIM_THRESHOLD_", str(256 * 2**20)),
    }


def start_worker(events: Any, threads: int, gpus: Sequence[int] = ()) -> None:
    """Set up a local process, with the GPUs of these numbers; without any, with all.

    Ctrl-C is the parent's business, whose death ends us.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()
    if gpus:
        show_gpus(gpus)
    set_up(events, threads)


def set_up(events: Any, threads: int) -> None:
    """Say where `put` takes the events of this process, and how many threads it has."""
    global _events
    _events = events
    import torch

    torch.set_num_threads(threads)


def _follow_parent() -> None:
    """End this process at once when its parent ends, however that comes to pass."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def plan_of(settings: str) -> Plan:
    """The plan of a resolved config, made once in a process."""
    from leakfront.harness.settings.sections import Config

    if settings not in _plans:
        _plans[settings] = make_plan(Config.model_validate_json(settings))
    return _plans[settings]


def run_task(task: Task) -> bool:
    """Do a task. For "model": whether there is a model at its end (False if training diverged)."""
    from leakfront.harness.stages.pool import stored_pool

    plan, layout = plan_of(task.settings), Layout(task.root)
    pool = stored_pool(layout)
    if task.kind == "reference":
        from leakfront.harness.stages.features import fit_extractor
        from leakfront.harness.stages.reference import make_reference

        _begin("reference")
        fit_extractor(plan, layout, pool)
        make_reference(plan, layout, pool)
        return True
    cell = plan.by_name[task.cell]
    if task.kind == "measure":
        from leakfront.harness.stages.attack import attack_cell
        from leakfront.harness.stages.measure import measure_cell

        shadows = [plan.by_name[name] for name in task.shadows]
        _begin("attack", cell.name)
        keys = attack_cell(plan, cell, shadows, layout, pool)
        _begin("measure", cell.name)
        measure_cell(plan, cell, shadows, keys, layout, pool)
        return True
    if task.kind == "probe":
        from leakfront.harness.stages.features import extract_features
        from leakfront.harness.stages.probe import probe_cell

        _begin("features", cell.name)
        extract_features(plan, cell, layout)
        _begin("probe", cell.name)
        probe_cell(plan, cell, layout, pool, _Reporter(cell.name, "probe"))
        return True
    from leakfront.harness.execution.data_parallel import training_ranks
    from leakfront.harness.stages.prepare import prepare
    from leakfront.harness.stages.sample import sample_cell
    from leakfront.harness.stages.train import train_cell

    _begin("prepare", cell.name)
    prepare(plan, cell, layout, pool)
    _begin("train", cell.name)
    execution = plan.config.execution
    trained = stored_key(layout.stage(cell.name, "train")) == cell.keys["train"] or not plan.model.trained
    with training_ranks(task, 1 if trained else execution.processes, execution.device, execution.threads) as ranks:
        usable = train_cell(plan, cell, layout, pool, _Reporter(cell.name, "train"), ranks)
    if not usable:
        return False
    _begin("sample", cell.name)
    sample_cell(plan, cell, layout, _Reporter(cell.name, "sample"))
    return True


def _begin(stage: str, cell: str = "") -> None:
    """For the log: what this process turns to now."""
    _events.put({"begins": stage, "cell": cell, "process": os.getpid()})


@dataclass(frozen=True)
class _Reporter:
    """Sends a stage's progress to the parent."""

    cell: str
    stage: str

    def __call__(self, done: int, total: int, numbers: dict[str, float]) -> None:
        _events.put({"cell": self.cell, "stage": self.stage, "done": done, "total": total, "numbers": numbers})
