"""The paths in a run's folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from leakfront.labels import is_plain

PARTS = "generation.checkpoint"  # of a cell: what was generated before a run was interrupted
_SEVERAL = ("attack", PARTS)  # folders of a cell that hold several artifacts
SHORT = 16  # characters of a model's key that name its folder; its manifest holds the whole key


@dataclass(frozen=True)
class Layout:
    """The paths of a run, relative to `root`, its folder."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    @property
    def pool(self) -> Path:
        return self.root / "pool"

    @property
    def extractor(self) -> Path:
        return self.root / "extractor"

    @property
    def reference(self) -> Path:
        return self.root / "reference"

    @property
    def base(self) -> Path:
        return self.root / "base"

    @property
    def log(self) -> Path:
        return self.root / "log.jsonl"

    @property
    def report(self) -> Path:
        return self.root / "report"

    @property
    def cells(self) -> list[str]:
        """The names of the cells that have a folder. Folders with a name that no run gives are not counted."""
        return [folder.name for folder in self._inside("cells", hidden=True)]

    @property
    def models(self) -> list[str]:
        """The names of the models that have a folder; see `model`."""
        return [folder.name for folder in self._inside("models")]

    def artifacts(self, cells: Iterable[str], models: Iterable[str]) -> list[Path]:
        """The existing artifact folders of the run and of these cells and models."""
        found = [self.pool, self.extractor, self.reference, self.base, self.report]
        for name in models:
            found += self._inside(f"models/{name}")
        for name in cells:
            for stage in self.stages(name):
                found += self._inside(f"cells/{name}/{stage.name}") if stage.name in _SEVERAL else [stage]
        return [folder for folder in found if folder.is_dir()]

    def stages(self, cell: str) -> list[Path]:
        """The folders of a cell's stages that exist."""
        return self._inside(f"cells/{cell}")

    def attacks(self, cell: str) -> list[Path]:
        """The folders of a cell's scores that exist."""
        return self._inside(f"cells/{cell}/attack")

    def part(self, cell: str, key: str) -> Path:
        """The folder of the part with this key."""
        return self.cell(cell) / PARTS / key[:SHORT]

    def cell(self, name: str) -> Path:
        """The folder of a cell; its stages are the folders in it."""
        return self.root / "cells" / name

    def stage(self, cell: str, stage: str) -> Path:
        """The folder of one stage of a cell: prepare, sample, features, halves, probe, attack/NAME or measure."""
        return self.cell(cell) / stage

    def _inside(self, place: str, hidden: bool = False) -> list[Path]:
        """The folders in a place whose names a run can give; hidden: also those that begin with a dot."""
        found = (self.root / place).glob("*" if hidden else "[!.]*")
        return sorted(path for path in found if is_plain(path.name) and path.is_dir())

    def model(self, key: str, stage: str = "train") -> Path:
        """The folder of the weights with this key (stage `train`), or of their checkpoint."""
        return self.root / "models" / key[:SHORT] / stage


def model_names(keys: Iterable[str]) -> list[str]:
    """The folder names of the models with these keys, without repeats."""
    return list(dict.fromkeys(key[:SHORT] for key in keys))
