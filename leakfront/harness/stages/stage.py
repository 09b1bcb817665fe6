"""A stage of a run, declared once: its keys, its order, its folders and its progress follow from the declaration."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from leakfront.defenses.training.ranks import ALONE, Ranks
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.store.artifacts import stored_key, writing
from leakfront.harness.store.layout import Layout

Progress = Callable[[int, int, dict[str, float]], None]  # done, of how much, numbers for the reader
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
    """A subject with all that a stage needs to work on it.

    ranks: the processes that train a model together. snapshots: of a training, the steps at which shorter trainings
    with the same draws end, with the keys of their weights.
    """

    layout: Layout
    pool: Pool
    progress: Progress = silent
    ranks: Ranks = ALONE
    snapshots: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One kind of artifact.

    name: of its folder. scope: whether there is one for the run, for each model, or for each cell. inputs: the stages
    whose artifacts it reads; also: more of them, for some plans. settings: all values that decide the outcome. code:
    the modules that decide it, beyond the one of `run`. run: computes, and returns the files by name: a dict of arrays
    for `.safetensors`, values for `.json`, or a function that writes to a path. siblings: whether it reads the inputs
    of the other splits as well (as shadow models), of those that have a model. parts: the names of its artifacts, where
    it has several, by the number of shadow models. work: how much work it is, in forward passes of one image, for
    estimates of time; stages that take moments have none.
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
    work: Callable[[Work], float] | None = None

    def folder(self, layout: Layout, key: str, cell: CellPlan | None = None, part: str = "") -> Path:
        """Where its artifact lies: one of the run, of the model with this key, or of a cell."""
        if self.scope == "model":
            return layout.model(key, self.name)
        if cell is None:
            return layout.root / self.name
        return layout.stage(cell.name, f"{self.name}/{part}" if part else self.name)

    def subjects(self, subject: Subject) -> list[Subject]:
        """The subject once for each of the stage's parts."""
        return [replace(subject, part=part) for part in self.parts(subject.plan, len(subject.shadows))]


def is_stored(stage: Stage, layout: Layout, key: str, cell: CellPlan | None = None, part: str = "") -> bool:
    """Whether the artifact in the stage's folder has this key, and is whole."""
    return stored_key(stage.folder(layout, key, cell, part)) == key


def perform(stage: Stage, work: Work, key: str) -> None:
    """Make the stage's artifact of this key, unless it is there already. Nothing else asks that question."""
    if not is_stored(stage, work.layout, key, work.of_cell, work.part):
        store(stage.folder(work.layout, key, work.of_cell, work.part), key, stage.run(work))


def store(folder: Path, key: str, files: Files) -> None:
    """Write an artifact: it is computed by now, so that this takes moments."""
    from safetensors.numpy import save_file

    with writing(folder, key) as place:
        for name, content in files.items():
            if callable(content):
                content(place / name)
            elif name.endswith(".safetensors"):
                save_file(content, place / name)
            else:
                (place / name).write_text(json.dumps(content, indent=1))
