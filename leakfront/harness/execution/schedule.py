"""The order of a run's tasks, and the work that is left; both follow from the declared stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from leakfront.errors import InputError, StageError, is_of_disk
from leakfront.harness.execution.devices import gpu_shares
from leakfront.harness.execution.here import Here
from leakfront.harness.execution.process import Task
from leakfront.harness.execution.progress import RunProgress
from leakfront.harness.execution.tasks import run_task
from leakfront.harness.execution.workers import Outcome, Workers
from leakfront.harness.plan.keys import inputs_of, is_late, late_keys
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.plan.trainings import ModelPlan, longest_of, models_of
from leakfront.harness.plan.workload import training_work
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages import BASE, BY_NAME, POOL, STAGES, TRAIN
from leakfront.harness.stages.stage import Stage, Work, is_stored
from leakfront.harness.stages.train import is_diverged
from leakfront.harness.store.layout import Layout

if TYPE_CHECKING:
    from leakfront.harness.execution.ray_cluster import RayCluster
    from leakfront.harness.execution.ray_workers import RayWorkers


@dataclass(frozen=True)
class Node:
    """A stage of the run or of a cell. The stages of a model belong to the cell that represents it."""

    stage: str
    cell: str = ""


def is_done(stage: Stage, cell: CellPlan, layout: Layout) -> bool:
    """Whether the cell's artifact of this stage is stored under the plan's key."""
    return is_stored(stage, layout, cell.keys[stage.name], cell)


def has_model(cell: CellPlan, layout: Layout) -> bool:
    """Whether a cell's model is trained, sampled and probed, or its training diverged."""
    own = [stage for stage in STAGES if stage.name in cell.keys]
    before = own[: own.index(TRAIN) + 1]
    if not all(is_done(stage, cell, layout) for stage in before):
        return False
    return is_diverged(cell, layout) or all(is_done(stage, cell, layout) for stage in own)


def pending_models(plan: Plan, layout: Layout) -> list[ModelPlan]:
    """The models whose weights are not stored."""
    return [model for model in models_of(plan) if not is_done(TRAIN, model.cell, layout)]


def to_train(plan: Plan, layout: Layout) -> list[ModelPlan]:
    """The pending models that are trained themselves: the longest of each family. The others are its snapshots."""
    return longest_of(pending_models(plan, layout))


def work_left(plan: Plan, pool: Pool, layout: Layout) -> dict[str, dict[str, float]]:
    """The forward passes that are left, by cell and stage. A shared training counts for the cell that represents it."""
    left: dict[str, dict[str, float]] = {cell.name: {} for cell in plan.cells if not has_model(cell, layout)}
    standing = {model.cell.name for model in to_train(plan, layout)}
    for cell in plan.cells:
        for stage in STAGES if cell.name in left else ():
            if stage.work is not None and stage.needed(plan) and not is_done(stage, cell, layout):
                shared = stage is TRAIN and cell.name not in standing
                work = Work(plan=plan, of_cell=cell, layout=layout, pool=pool)
                left[cell.name][stage.name] = 0.0 if shared else stage.work(work)
    return left


def execute(
    plan: Plan, layout: Layout, workers: int, cluster: RayCluster | None, progress: RunProgress
) -> dict[str, str]:
    """Run all pending tasks, each as soon as its inputs are stored. Returns the failed cells with their reasons.

    Tasks run in `workers` processes on this machine (0: in this process), or on a cluster. Raises the error of a task
    for wrong input or a full disk, and `StageError` if a stage of the whole run fails.
    """
    schedule = Schedule(plan, layout)
    first = list(schedule.ready())
    if not first:
        return schedule.failed
    executor: Workers | RayWorkers | Here
    execution = plan.config.execution
    if not workers:
        executor = Here(execution.threads, progress.event, run_task)
    elif cluster is None:
        executor = Workers(workers, execution.threads, progress.event, run_task, gpu_shares(execution))
    else:
        from leakfront.harness.execution.ray_workers import RayWorkers

        executor = RayWorkers(plan, layout, progress.event)
    with executor as pool:
        for task in first:
            pool.submit(task)
        for outcome in pool.outcomes():
            schedule.take_note(outcome, progress)
            for task in schedule.ready():
                pool.submit(task)
    return schedule.failed


class Schedule:
    """The tasks of a run, in an order that their inputs allow.

    The longest trainings start first, so that no core is idle at the end. failed: the failed cells, with the reasons.
    """

    def __init__(self, plan: Plan, layout: Layout) -> None:
        self.failed: dict[str, str] = {}
        self._plan, self._layout = plan, layout
        self._settings = plan.config.model_dump_json()
        self._models = {model.key: model for model in models_of(plan)}
        self._sorter: TopologicalSorter[Node] = TopologicalSorter()
        for node, needs in self._nodes():
            self._sorter.add(node, *needs)
        self._sorter.prepare()

    def ready(self) -> Iterator[Task]:
        """Yield the tasks that can start now. Nodes without work are done at once, which may free others."""
        while nodes := self._sorter.get_ready():
            for node in sorted(nodes, key=self._order):
                if (task := self._task(node)) is not None:
                    yield task
                else:
                    self._sorter.done(node)

    def take_note(self, outcome: Outcome, progress: RunProgress) -> None:
        """Record how a task ended, so that the tasks that depend on it can start.

        Wrong input, a full disk, or a failed stage of the whole run ends the run: it is raised. Any other error fails
        the cells that depend on the task.
        """
        done, error = outcome.task, outcome.error
        self._sorter.done(Node(done.stage, done.cell))
        if error is not None and (isinstance(error, InputError) or is_of_disk(error)):
            raise error
        if error is not None and not done.cell:
            raise StageError(f"the {done.stage} stage failed: {type(error).__name__}: {error}") from error
        if done.stage == BASE.name:
            progress.finished(done.stage)
        for cell in self._concerned(done):
            if error is not None:
                self.failed[cell.name] = f"{type(error).__name__}: {error}"
                traceback = str(error.__cause__ or "")  # of the worker, for the log
                progress.say(f"  {cell.name} failed: {self.failed[cell.name]}", traceback=traceback)
            elif not is_late(BY_NAME[done.stage]) and has_model(cell, self._layout):
                progress.finished(cell.name)

    def _concerned(self, task: Task) -> list[CellPlan]:
        """The cells that depend on a task: if the task is needed for a model, all cells that share the model."""
        if not task.cell:
            return []
        cell = self._plan.by_name[task.cell]
        model = self._models[cell.keys[TRAIN.name]]
        shared = task.stage in (TRAIN.name, *TRAIN.inputs) and cell is model.cell
        return list(model.cells) if shared else [cell]

    def _nodes(self) -> Iterator[tuple[Node, list[Node]]]:
        """Every stage of the run, of each model and of each cell, with the nodes that must end before it starts."""
        families: dict[str, Node] = {}
        for model in sorted(self._models.values(), key=lambda model: -model.steps):
            node = Node(TRAIN.name, model.cell.name)
            longer = [families[model.family]] if model.family in families else []
            yield node, [*self._inputs(TRAIN, model.cell), *longer]
            families[model.family] = node
        for stage in STAGES:
            if stage is POOL or stage is TRAIN or not stage.needed(self._plan):
                continue  # the pool is stored before anything else
            for cell in [None] if stage.scope == "run" else self._plan.cells:
                yield Node(stage.name, cell.name if cell else ""), self._inputs(stage, cell)

    def _inputs(self, stage: Stage, cell: CellPlan | None) -> list[Node]:
        nodes = []
        for name in inputs_of(stage, self._plan):
            source = BY_NAME[name]
            if source is POOL:
                continue
            if source.scope == "run" or cell is None:
                nodes.append(Node(name))
                continue
            for one in (cell, *(self._plan.siblings(cell) if stage.siblings else ())):
                owner = self._models[one.keys[TRAIN.name]].cell if source.scope == "model" else one
                nodes.append(Node(name, owner.name))
        return nodes

    def _order(self, node: Node) -> float:
        return -training_work(self._plan, self._plan.by_name[node.cell]) if node.stage == TRAIN.name else 0.0

    def _task(self, node: Node) -> Task | None:
        """The task of a node whose inputs are done; None if it is stored already, or the cell has no usable model."""
        stage, plan, layout = BY_NAME[node.stage], self._plan, self._layout
        task = Task(node.stage, layout.root, self._settings, node.cell, plan.data.content)
        if stage.scope == "run":
            return None if is_stored(stage, layout, plan.keys[stage.name]) else task
        cell = plan.by_name[node.cell]
        if stage is TRAIN:
            return self._training(task, cell)
        if cell.name in self.failed:
            return None
        if stage.name not in TRAIN.inputs and not self._usable(cell):
            return None
        if not is_late(stage):
            return None if is_done(stage, cell, layout) else task
        shadows = tuple(other for other in plan.siblings(cell) if self._usable(other))
        keys = late_keys(plan, cell, shadows, stage)
        stored = (is_stored(stage, layout, key, cell, part) for part, key in keys.items())
        if all(stored):
            return None
        return replace(task, shadows=tuple(shadow.name for shadow in shadows))

    def _training(self, task: Task, cell: CellPlan) -> Task | None:
        """The training of a cell's model, with the snapshots to store on the way; None if it failed or is stored."""
        model = self._models[cell.keys[TRAIN.name]]
        if cell.name in self.failed or is_done(TRAIN, cell, self._layout):
            return None
        shorter = [
            (other.steps, other.key)
            for other in pending_models(self._plan, self._layout)
            if other.family == model.family and other.steps < model.steps
        ]
        return replace(task, snapshots=tuple(shorter))

    def _usable(self, cell: CellPlan) -> bool:
        """Whether a cell has a model that can be sampled and attacked."""
        has_one = cell.name not in self.failed and is_done(TRAIN, cell, self._layout)
        return has_one and not is_diverged(cell, self._layout)
