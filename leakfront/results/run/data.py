"""A finished run: its rows and its stored arrays. Figures, tables and findings need nothing else, and no model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError

from leakfront.documents import load_json, read_text
from leakfront.errors import InputError
from leakfront.labels import without_controls
from leakfront.results.run.forms import (
    COINS,
    EVIDENCE,
    POOL,
    SAMPLES,
    SCORES,
    Forms,
    check_arrays,
    check_info,
    shape_of,
)
from leakfront.results.run.old_names import translated
from leakfront.results.run.point import Point
from leakfront.results.run.pool_files import NAMES, SUBJECTS
from leakfront.results.run.received import check_attack, checked_info, checked_rows
from leakfront.results.run.rows import HELD_OUT, NOISE, read_rows
from leakfront.results.run.state import belongs
from leakfront.results.run.summary import Summary
from leakfront.results.statistics.subjects import Subjects

if TYPE_CHECKING:
    import pandas as pd

_MAX_NAMES = 2**30  # bytes of it


@dataclass(frozen=True)
class Cell:
    """One trained model: a defense at a strength on a split. `folder` holds its arrays."""

    name: str
    defense: str
    params: str
    split: str
    folder: Path

    @property
    def point(self) -> Point:
        """The defense at its strength, without the split."""
        return Point(self.defense, self.params)

    @property
    def label(self) -> str:
        """The name of the defense with its strength: "dp_sgd (epsilon=10)"."""
        return self.point.label


class RunData:
    """A run's folder: `results.csv`, `run.json` and the arrays of its cells.

    It may come from somebody else: paths follow from checked names, and no path in `run.json` is used.
    may_be_shared: whether it has no pictures, paths and private names.
    """

    may_be_shared = False

    def __init__(self, folder: Path, finished: bool = True, marks: Mapping[str, str] | None = None) -> None:
        """Files of `folder` are read when they are needed. finished: whether the last run in it came to its end.

        marks: a person's verdicts on flagged captions, see `results.run.marks`.
        """
        self.folder, self.finished, self.marks = folder, finished, dict(marks or {})

    @property
    def sources(self) -> list[RunData]:
        """The runs that this one was put together from: itself."""
        return [self]

    @property
    def differences(self) -> tuple[str, ...]:
        """Sentences on differences that keep the numbers of several runs from being compared: none for one run."""
        return ()

    @cached_property
    def rows(self) -> pd.DataFrame:
        """All rows, with the columns of `leakfront.results.run.rows.Row`."""
        info = self.info if (self.folder / "run.json").exists() else {}  # published rows stand alone
        with _readable(self.folder / "results.csv") as path, path.open("rb") as file:
            if not belongs(info, path.name, hashlib.file_digest(file, "sha256").hexdigest()):
                raise InputError(
                    f"{path} does not belong to the run.json beside it, because a run was stopped while it wrote them "
                    "or is at work there; finish it with: leakfront run"
                )
            file.seek(0)
            rows = checked_rows(path, read_rows(path, file))
        if info and rows["defense"].isin((HELD_OUT, NOISE)).all():
            raise InputError(f"{path} has no row of a model")
        return rows

    @cached_property
    def info(self) -> dict[str, Any]:
        """`run.json`: name, config (resolved), versions, git, machine, suite, features, image counts, cells."""
        with _readable(self.folder / "run.json") as path:
            held = load_json(path)
            check_info(held)  # what is translated has to have the form of facts
            return checked_info(path, translated(held))

    @cached_property
    def summary(self) -> Summary:
        """The rows, found by point, split, source and metric."""
        return Summary(self.rows, self.info)

    @property
    def known_membership(self) -> bool:
        """Whether members were known beforehand, not drawn by coins; the audits then have no rows."""
        return bool(self.info.get("dataset", {}).get("membership") == "known")

    @property
    def external_model(self) -> dict[str, Any] | None:
        """The facts about a model that was trained elsewhere; None for models that the run trained."""
        found: dict[str, Any] | None = self.info.get("external_model")
        return found

    @cached_property
    def cells(self) -> list[Cell]:
        """The cells that finished, in the order of the config, splits innermost."""
        return [
            Cell(c["name"], c["defense"], c["params"], c["split"], self.folder / "cells" / c["name"])
            for c in self.info["cells"]
        ]

    def shown(self, label: str) -> str:
        """The label of a model as the run's tables have it."""
        return label

    @property
    def undefended_cell(self) -> Cell | None:
        """The undefended model of the first split that finished, else the first model; None if there is none."""
        point = self.summary.undefended if self.summary.points else None
        return next((cell for cell in self.cells if cell.point == point), next(iter(self.cells), None))

    @cached_property
    def pool(self) -> Mapping[str, np.ndarray]:
        """images uint8 [P, C, H, W]; labels int64 [P]; copies int64 [P], how often a member is in the training set."""
        return self._arrays(_pool_file(self.folder), POOL)

    @cached_property
    def files(self) -> tuple[str, ...] | None:
        """The name of the file of each pool image, below the folder of the data; None for data without files."""
        return self._texts(NAMES)

    @cached_property
    def subject_names(self) -> tuple[str, ...] | None:
        """The name of the subject of each pool image; None where every image stands alone."""
        return self._texts(SUBJECTS)

    def subjects(self, cell: Cell) -> Subjects | None:
        """The subjects that a model's counts are of; None where every image stands alone."""
        of = self.pool_of(cell).get("subjects")
        if of is None:
            return None
        members = self.members(cell)
        if of.shape != members.shape or of.dtype.kind not in "iu" or not 0 <= of.min() <= of.max() < len(of):
            raise InputError(f"{_pool_file(cell.folder.parents[1])} has subjects of another form; make it again")
        try:
            return Subjects.judged(of.astype(np.int64), members, matched=self.known_membership)
        except ValueError as error:
            raise InputError(f"{cell.folder} cannot be read ({error}); make it again with: leakfront run") from None

    def judged(self, cell: Cell, attack: str) -> tuple[np.ndarray, np.ndarray]:
        """Scores and coins as rows judge them: of images, or of subjects, float64 [N] and bool [N]."""
        score, subjects = self.scores(cell, attack)["score"], self.subjects(cell)
        return (score, self.members(cell)) if subjects is None else (subjects.score(score), subjects.of_members)

    def _texts(self, name: str) -> tuple[str, ...] | None:
        """A text for each pool image, from a file of the pool's folder; None if there is no such file."""
        if not (self.folder / "pool" / name).exists():
            return None
        with _readable(self.folder / "pool" / name) as path:
            texts = tuple(read_text(path, _MAX_NAMES).splitlines())
            if len(texts) != (size := self._length(_pool_file(self.folder), "images")):
                raise ValueError(f"it has {len(texts)} lines for {size} images")
            return tuple(map(without_controls, texts))

    def coin(self, cell: Cell) -> float:
        """The probability of being a member: the coin's; with known membership the share of members."""
        if self.known_membership:
            subjects = self.subjects(cell)
            return float((self.members(cell) if subjects is None else subjects.of_members).mean())
        return float(self.info.get("dataset", {}).get("coin", 0.5))

    def pool_of(self, cell: Cell) -> Mapping[str, np.ndarray]:
        """The pool that a cell's arrays are about."""
        return self.pool

    def members(self, cell: Cell) -> np.ndarray:
        """The coins of a cell, bool [P]: True for a member, False for a decoy."""
        path = cell.folder / "prepare" / "coins.safetensors"
        members = self._arrays(path, COINS, {"P": self._length(_pool_file(cell.folder.parents[1]), "images")})[
            "members"
        ].astype(bool)
        if members.all() or not members.any():
            raise InputError(f"{path} has {int(members.sum())} members among {len(members)} images; a run has both")
        return members

    def samples(self, cell: Cell) -> np.ndarray:
        """The generated images, uint8 [G, C, H, W]."""
        return self._arrays(self._samples(cell), SAMPLES)["images"]

    def l2(self, cell: Cell, nearest: np.ndarray) -> np.ndarray:
        """Root mean square difference, of pixels in [0, 1], of each pool image and a generated one, float64 [P].

        nearest: int64 [P], the numbers of the generated images; nan where it is negative.
        """
        pool, samples = self.pool_of(cell)["images"], self.samples(cell)
        apart = np.full(len(pool), np.nan)
        for image in np.flatnonzero(nearest >= 0):
            apart[image] = np.sqrt(np.mean((pool[image].astype(np.float64) - samples[nearest[image]]) ** 2)) / 255
        return apart

    def scores(self, cell: Cell, attack: str) -> Mapping[str, np.ndarray]:
        """`score` float64 [P], higher for likelier members, and the attack's evidence.

        For `extraction`: `neighbours` int32 [G, n], pool images nearest to each generated image, nearest first, and
        `neighbour_scores` float32 [G, n], the adaptive score of each such pair (below 1 counts as extracted);
        `nearest_sample` int64 [P], the generated image with the best score for each pool image, or -1.
        """
        check_attack(attack, self.folder)
        sizes = {"P": self._length(_pool_file(cell.folder.parents[1]), "images")}  # of the cell's own run
        plugin = str(self.info.get("attack_facts", {}).get(attack, {}).get("attack"))
        evidence = EVIDENCE.get(plugin, {}) | EVIDENCE.get(attack, {})
        if "neighbours" in evidence:
            sizes["G"] = self._length(self._samples(cell), "images")
        return self._arrays(cell.folder / "attack" / attack / "scores.safetensors", SCORES | evidence, sizes)

    @staticmethod
    def _samples(cell: Cell) -> Path:
        return cell.folder / "sample" / "samples.safetensors"

    @staticmethod
    def _length(path: Path, name: str) -> int:
        """The number of entries of an array, read from the header of its file."""
        with _readable(path):
            return shape_of(path, name)[0]

    @staticmethod
    def _arrays(path: Path, forms: Forms, sizes: Mapping[str, int] | None = None) -> Mapping[str, np.ndarray]:
        """The arrays of a file, among them those of these forms."""
        from safetensors.numpy import load_file

        with _readable(path):
            arrays = load_file(path)
            check_arrays(arrays, forms, sizes)
            return arrays


def _pool_file(run: Path) -> Path:
    return run / "pool" / "pool.safetensors"


@contextmanager
def _readable(path: Path) -> Iterator[Path]:
    """Turn any error in reading the file into one sentence that names it."""
    try:
        yield path
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read ({error}); make it again with: leakfront run") from error
