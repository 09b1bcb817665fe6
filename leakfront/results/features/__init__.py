"""The feature extractors that utility metrics rest on, one file each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from leakfront.registry import Plugin, Registry, parameters

registry = Registry(
    "feature extractor",
    "leakfront.results.features",
    "leakfront.features",
    not_plugins={"chunks", "lite0_network", "resized", "small_classifier", "weights"},
)
register = registry.register


class FittedExtractor:
    """Turns images into feature vectors; `fit` or `load` of a `FeatureExtractor` makes it.

    accuracy: of the trained classifier behind the features, in [0, 1]; None where nothing was trained. fits: how many
    networks were trained, each from a seed of its own, to show how far the features depend on that. The features of an
    image are then those of each fit side by side, equally many of each.
    """

    accuracy: float | None = None
    fits: int = 1

    def extract(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, C, H, W] -> float64 [N, fits * d]; an image's features do not depend on batch size or order."""
        raise NotImplementedError

    def save(self, path: Path) -> None:
        """Write the result of the fit, or which weights were used, to `path` as safetensors."""
        raise NotImplementedError


class FeatureExtractor(Plugin):
    """The base of every feature extractor: a frozen dataclass of its parameters, which `fit` and `load` never change.

    A metric's value means nothing without the name of its features. Features are stored under a key of the images, the
    extractor's code and `version()`. An extractor that reads weights from a file puts the file's SHA-256 there, not its
    path, and refuses another file. Class attributes: `fitted`, whether `fit` trains on the images; if not, none need be
    kept for it. `needs_labels`: whether its fit needs images of at least two classes.
    """

    section: ClassVar[str] = "metrics"
    fitted: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = False

    @property
    def dimensions(self) -> int:
        """The number of features of an image in one fit, d; for some extractors the most that there can be."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """The name of the features in rows, as in "fid_embedded"."""
        return self.name

    def version(self) -> dict[str, Any]:
        """Everything that the features depend on besides code and images, as JSON holds it: all parameters."""
        return parameters(self)

    def fit(self, images: np.ndarray, labels: np.ndarray, seed: int) -> FittedExtractor:
        """Train on labelled images outside the pool, uint8 [N, C, H, W] and int64 [N], if the extractor needs that.

        Raises `InputError` for images that it cannot be trained on, and for weights that are missing or wrong.
        """
        raise NotImplementedError

    def load(self, path: Path) -> FittedExtractor:
        """Read the file that `FittedExtractor.save` wrote; raises `InputError` if `path` holds something else."""
        raise NotImplementedError
