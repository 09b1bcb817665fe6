"""The feature extractors that utility metrics rest on, one file each."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from leakfront.registry import Registry

registry = Registry(
    "feature extractor", "leakfront.results.features", "leakfront.features", not_plugins={"chunks", "weights"}
)
register = registry.register


class FeatureExtractor(Protocol):
    """Turns images into feature vectors. A metric's value means nothing without the extractor's name.

    Features are stored under a key of the images, the extractor's code and what it depends on: all its parameters, or
    what its method `version()` returns, as JSON holds it, if it has one. An extractor that reads weights from a file
    states the file's SHA-256 there and not its place, and refuses another file. Rows name it by its attribute `label`
    if it has one, else by `name`.
    """

    name: ClassVar[str]
    dimensions: int

    def fit(self, images: np.ndarray, labels: np.ndarray, seed: int) -> None:
        """Train on labelled images outside the pool, uint8 [N, C, H, W], where the extractor needs that."""

    def extract(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, C, H, W] -> float64 [N, dimensions]; does not depend on batch size or order."""

    def save(self, path: Path) -> None:
        """Write what `fit` found, or which weights were used, as safetensors."""

    def load(self, path: Path) -> None:
        """Take what `save` wrote, in place of a fit; raises `InputError` if `path` holds something else."""
