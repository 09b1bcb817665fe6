"""A stage of a run, declared once: its keys, its order, its folders and its progress follow from the declaration."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from leakfront.defenses.training.ranks import ALONE, Ranks
from leakfront.harness.machine.provenance import made_by
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.store.artifacts import stored_key, writing
from leakfront.harness.store.layout import Layout

Progress = Callable[[int, int, dict[str, float]], None]  # done, total, numbers to show
Files = Mapping[str, Any]


def silent(done: int, total: int, numbers: dict[str, float]) -> None:
    """Shows no progress."""


@dataclass(frozen=True)
class Subject:
    """What a stage works on: the run, or one cell of it.

    shadows: the cells whose models serve as shadow models (for stages with `siblings`). part: one of the stage's parts.
    """

    plan: Plan
    of_cell: CellPlan | None = None
    shadows: tuple[CellPlan, ...] = ()
    part: str = ""

    @property
    def cell(self) -> CellPlan:
        """The cell; a stage of the whole run has none."""
        assert self.of_cell is not None
        return self.of_cell


@dataclass(frozen=True, kw_only=True)
class Work(Subject):
    """A subject, and everything that a stage needs to work on it.

    ranks: the processes that train a model together. snapshots: for a training, the steps at which shorter trainings
    with the same draws end, each with the key of its weights.
    """

    layout: Layout
    pool: Pool
    progress: Progress = silent
    ranks: Ranks = ALONE
    snapshots: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One kind of artifact.

    name: also the name of its folder.
    scope: whether there is one artifact for the run, for each model, or for each cell.
    inputs: the stages whose artifacts it reads; also: further ones, for some plans.
    settings: all values that decide the outcome.
    code: the modules that decide the outcome, in addition to that of `run`.
    run: computes the artifact and returns its files by name: a dict of arrays for `.safetensors`, values for `.json`,
    or a function that writes to a path.
    siblings: whether it also reads the inputs of those other splits that have a model (as shadow models).
    parts: the names of its artifacts if it has several, by the number of shadow models.
    needed: whether a plan has it at all.
    work: the amount of work in forward passes of one image, for estimates of time; None for stages that take moments.
    instead: for some plans, the stage of the same name and inputs that makes the artifact in place of this one.
    """

    name: str
    scope: Literal["run", "model", "cell"]
    inputs: tuple[str, ...]
    settings: Callable[[Subject], Any]
    code: Callable[[Subject], Iterable[str]]
    run: Callable[[Work], Files]
    also: Callable[[Plan], Sequence[str]] = lambda plan: ()
    siblings: bool = False
    parts: Callable[[Plan, int], Sequence[str]] = lambda plan, shadows: ("",)
    needed: Callable[[Plan], bool] = lambda plan: True
    work: Callable[[Work], float] | None = None
    instead: Callable[[Plan], Stage | None] = lambda plan: None

    def of(self, plan: Plan) -> Stage:
        """The stage that makes this artifact in a run with this plan."""
        return self.instead(plan) or self

    def folder(self, layout: Layout, key: str, cell: CellPlan | None = None, part: str = "") -> Path:
        """The folder of its artifact: of the run, of the model with this key, or of a cell."""
        if self.scope == "model":
            return layout.model(key, self.name)
        if cell is None:
            return layout.root / self.name
        return layout.stage(cell.name, f"{self.name}/{part}" if part else self.name)

    def subjects(self, subject: Subject) -> list[Subject]:
        """The subject, once for each of the stage's parts."""
        return [replace(subject, part=part) for part in self.parts(subject.plan, len(subject.shadows))]


def is_stored(stage: Stage, layout: Layout, key: str, cell: CellPlan | None = None, part: str = "") -> bool:
    """Whether the artifact in the stage's folder has this key and is complete."""
    return stored_key(stage.folder(layout, key, cell, part)) == key


def perform(stage: Stage, work: Work, key: str, made: Mapping[str, Any] | None = None) -> None:
    """Make the stage's artifact, unless it is stored under this key. This is the only place that decides it.

    made: how it is made; by default as a worker makes things.
    """
    if not is_stored(stage, work.layout, key, work.of_cell, work.part):
        execution = work.plan.config.execution
        made = made_by(execution.threads, execution.device) if made is None else made
        store(stage.folder(work.layout, key, work.of_cell, work.part), key, stage.of(work.plan).run(work), made)


def store(folder: Path, key: str, files: Files, made: Mapping[str, Any]) -> None:
    """Write the files of an artifact, which are computed by now, and replace the folder in one step."""
    from safetensors.numpy import save_file

    with writing(folder, key, made) as place:
        for name, content in files.items():
            if callable(content):
                content(place / name)
            elif name.endswith(".safetensors"):
                save_file(content, place / name)
            else:
                (place / name).write_text(json.dumps(content, indent=1))
