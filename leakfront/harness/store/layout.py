"""Where things lie in a run's folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The paths of a run, below `root`."""

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
    def log(self) -> Path:
        return self.root / "log.jsonl"

    @property
    def report(self) -> Path:
        return self.root / "report"

    @property
    def cells(self) -> list[str]:
        """The names of the cells that there are."""
        return sorted(path.name for path in (self.root / "cells").glob("*") if path.is_dir())

    def artifacts(self, cells: Iterable[str]) -> list[Path]:
        """The folders, of those that there are, that a stage of the run or of these cells wrote as a whole."""
        folders = [self.pool, self.extractor, self.reference, self.report]
        for name in cells:
            for stage in sorted(self.cell(name).glob("[!.]*")):
                folders += sorted(stage.glob("[!.]*")) if stage.name == "attack" else [stage]
        return [folder for folder in folders if folder.is_dir()]

    def cell(self, name: str) -> Path:
        """The folder of a cell; its stages are the folders in it."""
        return self.root / "cells" / name

    def stage(self, cell: str, stage: str) -> Path:
        """The folder of one stage of a cell: prepare, train, sample, features, probe, attack/NAME or measure."""
        return self.cell(cell) / stage
