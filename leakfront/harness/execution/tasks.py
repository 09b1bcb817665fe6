"""Run a task inside a worker process."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

from leakfront.defenses.training.ranks import Ranks
from leakfront.harness.execution.process import Task, emit, plan_of
from leakfront.harness.plan.keys import is_late, key_of
from leakfront.harness.pool.pool import Pool
from leakfront.harness.pool.told_labels import told
from leakfront.harness.stages import BY_NAME, PROBE, TRAIN
from leakfront.harness.stages.generated import remove_parts
from leakfront.harness.stages.pool import stored_pool
from leakfront.harness.stages.stage import Stage, Work, is_stored, perform, silent
from leakfront.harness.store.durable import make_folder
from leakfront.harness.store.layout import Layout


def run_task(task: Task) -> None:
    """Perform all parts of a task's stage."""
    stage, work = BY_NAME[task.stage], work_of(task)
    emit({"begins": stage.name, "cell": task.cell, "process": os.getpid()})
    for subject in stage.subjects(work):
        part = replace(work, part=subject.part)
        key = _key(stage, part)
        if stage is TRAIN and not is_stored(stage, work.layout, key):
            _train(task, part, key)
        else:
            perform(stage, part, key)
            if stage is PROBE:
                remove_parts(part.cell, part.layout)


def work_of(task: Task) -> Work:
    """The `Work` of a task: its plan, pool, cell and folder. A cell's pool has the labels that its model is told."""
    plan, layout = plan_of(task), Layout(task.root)
    pool = _pool(task.root, plan.keys["pool"])
    return Work(
        plan=plan,
        of_cell=plan.by_name[task.cell] if task.cell else None,
        shadows=tuple(plan.by_name[name] for name in task.shadows),
        snapshots=dict(task.snapshots),
        layout=layout,
        pool=told(pool, plan.config.data.labels, plan.config.seed) if task.cell else pool,
        progress=_Reporter(task.cell or task.stage, task.stage),
    )


@lru_cache(1)
def _pool(root: Path, key: str) -> Pool:
    """The pool of a run, mapped once per process. The process that started the run has checked it."""
    return stored_pool(Layout(root), check=False)


def _key(stage: Stage, work: Work) -> str:
    if is_late(stage):
        return key_of(stage, work)
    return work.plan.keys[stage.name] if stage.scope == "run" else work.cell.keys[stage.name]


def _train(task: Task, work: Work, key: str) -> None:
    """Train a model, with several processes if the config says so, and remove its checkpoint."""
    from leakfront.harness.execution.data_parallel import training_ranks
    from leakfront.harness.stages.train import history, remove_checkpoint_of

    execution = work.plan.config.execution
    size = execution.processes if work.plan.model.trained else 1
    near = work.layout.model(key, "meeting")
    make_folder(near.parent)
    made = history(work)  # before the checkpoint is written again
    with training_ranks(partial(_train_rank, task), size, execution.device, execution.threads, near) as ranks:
        perform(TRAIN, replace(work, ranks=ranks), key, made)
    remove_checkpoint_of(work.cell, work.layout)


def _train_rank(task: Task, ranks: Ranks) -> None:
    """Train as one of the other ranks, in its own process."""
    TRAIN.run(replace(work_of(task), ranks=ranks, progress=silent))


@dataclass(frozen=True)
class _Reporter:
    """Sends a stage's progress to the parent. cell: of a stage of the whole run, its name."""

    cell: str
    stage: str

    def __call__(self, done: int, total: int, numbers: dict[str, float]) -> None:
        emit({"cell": self.cell, "stage": self.stage, "done": done, "total": total, "numbers": numbers})
