"""The mean of each row of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge

from leakfront.results.features import FeatureExtractor, FittedExtractor, register


@register("row_means")
@dataclass(frozen=True)
class RowMeans(FeatureExtractor):
    """The mean of each of the first `rows` rows of an image, in [0, 1] (an example, 2025). Nothing is trained."""

    rows: Annotated[int, Ge(1)] = 8

    @property
    def dimensions(self) -> int:
        return self.rows

    def fit(self, images: np.ndarray, labels: np.ndarray, seed: int) -> Means:
        return Means(self.rows)

    def load(self, path: Path) -> Means:
        return Means(self.rows)


@dataclass(frozen=True)
class Means(FittedExtractor):
    """The extractor at work."""

    rows: int

    def extract(self, images: np.ndarray) -> np.ndarray:
        means: np.ndarray = images[:, :, : self.rows].mean(axis=(1, 3)) / 255
        return means

    def save(self, path: Path) -> None:
        from safetensors.numpy import save_file

        save_file({}, path, {"row_means": str(self.rows)})
