"""What figures, tables and findings are drawn from: a finished run's rows and its stored arrays. No model is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError

from leakfront.errors import InputError
from leakfront.results.run.rows import read_rows

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Cell:
    """One trained model: a defense at a strength on a split. `folder` holds its arrays."""

    name: str
    defense: str
    params: str
    split: str
    folder: Path

    @property
    def label(self) -> str:
        """How a reader is told of the defense: "dp_sgd (epsilon=10)"."""
        return f"{self.defense} ({self.params})" if self.params else self.defense


class RunData:
    """A run's folder: `results.csv`, `run.json` and the arrays of its cells."""

    def __init__(self, folder: Path) -> None:
        """`folder` is a finished run's; reading is lazy."""
        self.folder = folder

    @property
    def sources(self) -> list[RunData]:
        """The runs that this one was put together from: itself."""
        return [self]

    @property
    def differences(self) -> tuple[str, ...]:
        """Sentences on what keeps the numbers of several runs from being comparable: none for one run."""
        return ()

    @cached_property
    def rows(self) -> pd.DataFrame:
        """All rows, with the columns of `leakfront.results.run.rows.Row`."""
        with _readable(self.folder / "results.csv") as path:
            return read_rows(path)

    @cached_property
    def info(self) -> dict[str, Any]:
        """`run.json`: name, config (resolved), versions, git, machine, suite, features, image counts, cells."""
        with _readable(self.folder / "run.json") as path:
            info: dict[str, Any] = json.loads(path.read_text())
            return info

    @cached_property
    def cells(self) -> list[Cell]:
        """The cells that finished, in the order of the config, splits innermost."""
        return [
            Cell(c["name"], c["defense"], c["params"], c["split"], self.folder / c["folder"])
            for c in self.info["cells"]
        ]

    @cached_property
    def pool(self) -> Mapping[str, np.ndarray]:
        """images uint8 [P, C, H, W]; labels int64 [P]; copies int64 [P], how often a member is in the training set."""
        return self._arrays(self.folder / self.info["pool"])

    def pool_of(self, cell: Cell) -> Mapping[str, np.ndarray]:
        """The pool that a cell's arrays are about."""
        return self.pool

    def members(self, cell: Cell) -> np.ndarray:
        """The coins of a cell, bool [P]: True for a member, False for a decoy."""
        return self._arrays(cell.folder / "prepare" / "coins.safetensors")["members"].astype(bool)

    def samples(self, cell: Cell) -> np.ndarray:
        """The generated images, uint8 [G, C, H, W]."""
        return self._arrays(cell.folder / "sample" / "samples.safetensors")["images"]

    def scores(self, cell: Cell, attack: str) -> Mapping[str, np.ndarray]:
        """`score` float64 [P], higher for likelier members, and the attack's evidence.

        For `extraction`: `neighbours` int32 [G, n], pool images nearest to each generated image, nearest first, and
        `neighbour_scores` float32 [G, n], the adaptive score of each such pair (below 1 counts as extracted);
        `nearest_sample` int64 [P], the generated image with the best score for each pool image, or -1.
        """
        return self._arrays(cell.folder / "attack" / attack / "scores.safetensors")

    @staticmethod
    def _arrays(path: Path) -> Mapping[str, np.ndarray]:
        from safetensors.numpy import load_file

        with _readable(path):
            return load_file(path)


@contextmanager
def _readable(path: Path) -> Iterator[Path]:
    """Say of a file that it cannot be read, whatever reading it raises."""
    try:
        yield path
    except (OSError, ValueError, LookupError, TypeError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read ({error}); make it again with: leakfront run") from error
