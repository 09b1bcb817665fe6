"""Which task can start when, and what of a run is done already."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from leakfront.errors import InputError, StageError, is_of_disk
from leakfront.harness.execution.devices import gpu_shares
from leakfront.harness.execution.progress import RunProgress
from leakfront.harness.execution.tasks import Task
from leakfront.harness.execution.workers import Outcome, Workers
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.plan.workload import training_work
from leakfront.harness.store.artifacts import stored_key
from leakfront.harness.store.layout import Layout

if TYPE_CHECKING:
    from leakfront.harness.execution.ray_cluster import RayCluster
    from leakfront.harness.execution.ray_workers import RayWorkers


@dataclass(frozen=True)
class Node:
    """A task that starts when those named in `needs` have ended; `task` is None when there is nothing to do."""

    name: str
    needs: frozenset[str]
    task: Callable[[], Task | None]


def is_done(cell: CellPlan, layout: Layout, *stages: str) -> bool:
    """Whether what lies in the folders of these stages is what the plan asks for."""
    return all(stored_key(layout.stage(cell.name, stage)) == cell.keys[stage] for stage in stages)


def is_diverged(cell: CellPlan, layout: Layout) -> bool:
    """Whether the cell's training ended at a value that is not finite."""
    path = layout.stage(cell.name, "train") / "train.json"
    try:
        return json.loads(path.read_text())["diverged"] is not None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}); `leakfront run` makes it again") from None


def has_model(cell: CellPlan, layout: Layout) -> bool:
    """Whether nothing is left to train, sample, extract features of or probe, be it that training diverged."""
    if not is_done(cell, layout, "prepare", "train"):
        return False
    return is_diverged(cell, layout) or is_done(cell, layout, "sample", "features", "probe")


def execute(
    plan: Plan, layout: Layout, workers: int, cluster: RayCluster | None, progress: RunProgress
) -> dict[str, str]:
    """Run all tasks that are not done, each as soon as it can; returns the cells that failed, with their reasons.

    They run in `workers` processes on this machine, or on a cluster.
    """
    failed: dict[str, str] = {}
    waiting = _nodes(plan, layout, failed)
    ended: set[str] = set()

    def ready() -> list[tuple[str, Task]]:
        """The tasks that can start now; those with nothing to do end at once, which may let others start."""
        tasks = []
        while startable := [node for node in waiting if node.needs <= ended]:
            for node in startable:
                waiting.remove(node)
                task = node.task()
                if task is None:
                    ended.add(node.name)
                else:
                    tasks.append((node.name, task))
        return tasks

    first = ready()
    if not first:
        return failed
    names = {task: name for name, task in first}
    executor: Workers | RayWorkers
    if cluster is None:
        execution, count = plan.config.execution, min(workers, len(first) + len(waiting))
        executor = Workers(count, execution.threads, progress.event, gpu_shares(execution))
    else:
        executor = cluster.workers(plan, layout, progress.event)
    with executor as pool:
        for _, task in first:
            pool.submit(task)
        for outcome in pool.outcomes():
            _take_note(outcome, failed, progress)
            ended.add(names[outcome.task])
            for name, task in ready():
                names[task] = name
                pool.submit(task)
    return failed


def _take_note(outcome: Outcome, failed: dict[str, str], progress: RunProgress) -> None:
    """A wrong input, a full disk, or a reference that cannot be made ends the run; another error costs its cell."""
    done, error = outcome.task, outcome.error
    if error is not None and (isinstance(error, InputError) or is_of_disk(error)):
        raise error
    if error is not None and done.kind == "reference":
        raise StageError(f"the reference cannot be made: {type(error).__name__}: {error}") from error
    if error is not None:
        failed[done.cell] = f"{type(error).__name__}: {error}"
        traceback = str(error.__cause__ or "")  # of the worker, for the log
        progress.say(f"  {done.cell} failed: {failed[done.cell]}", traceback=traceback)
    elif done.kind == "probe" or (done.kind == "model" and outcome.result is False):
        progress.finished(done.cell)


def _nodes(plan: Plan, layout: Layout, failed: dict[str, str]) -> list[Node]:
    """All tasks of a run; the longest trainings come first, so that no core waits at the end."""
    settings = plan.config.model_dump_json()

    def task(kind: Any, cell: str = "", shadows: Sequence[str] = ()) -> Task:
        return Task(kind, layout.root, settings, cell, tuple(shadows))

    def usable(cell: CellPlan) -> bool:
        return cell.name not in failed and not is_diverged(cell, layout)

    def reference() -> Task | None:
        fitted = stored_key(layout.extractor) == plan.extractor_key
        return None if fitted and stored_key(layout.reference) == plan.reference_key else task("reference")

    def model(cell: CellPlan) -> Task | None:
        trained = is_done(cell, layout, "prepare", "train")
        done = trained and (is_diverged(cell, layout) or is_done(cell, layout, "sample"))
        return None if done else task("model", cell.name)

    def probe(cell: CellPlan) -> Task | None:
        return task("probe", cell.name) if usable(cell) and not is_done(cell, layout, "features", "probe") else None

    def measure(cell: CellPlan) -> Task | None:
        if not usable(cell):
            return None
        shadows = [other for other in plan.siblings(cell) if usable(other)]
        keys = {f"attack/{name}": plan.attack_key(name, cell, shadows) for name in plan.judged_by(len(shadows))}
        wanted = {**keys, "measure": plan.measure_key(list(keys.values()), cell, len(shadows))}
        done = all(stored_key(layout.stage(cell.name, stage)) == key for stage, key in wanted.items())
        return None if done else task("measure", cell.name, [other.name for other in shadows])

    work = {cell.name: training_work(plan, cell) for cell in plan.cells}
    cells = sorted(plan.cells, key=lambda cell: -work[cell.name])
    nodes = [Node("reference", frozenset(), reference)]
    nodes += [Node(f"model {c.name}", frozenset(), lambda c=c: model(c)) for c in cells]  # type: ignore[misc]
    for cell in cells:
        needs = frozenset({"reference", f"model {cell.name}"})
        nodes.append(Node(f"probe {cell.name}", needs, lambda c=cell: probe(c)))  # type: ignore[misc]
    for cell in cells:
        group = frozenset(f"probe {other.name}" for other in (cell, *plan.siblings(cell)))
        nodes.append(Node(f"measure {cell.name}", group, lambda c=cell: measure(c)))  # type: ignore[misc]
    return nodes
