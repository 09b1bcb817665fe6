"""Where things lie in a run's folder."""

from __future__ import annotations

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

    def cell(self, name: str) -> Path:
        """The folder of a cell; its stages are the folders in it."""
        return self.root / "cells" / name

    def stage(self, cell: str, stage: str) -> Path:
        """The folder of one stage of a cell: prepare, train, sample, features, probe, attack/NAME or measure."""
        return self.cell(cell) / stage
