"""A set of images as the utility metrics see it: features, read in batches, and classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

ROWS = 1024  # images in a batch, and in a file


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The features of real or generated images, float64 [N, d], and their classes.

    parts: the features in order, [n, d] each, in memory or in the files that `store_features` wrote; at least one part.
    labels: int64 [N], indices of the data's classes: a real image's own class, and the class that a generated image was
    sampled for. None for data without classes and for an unconditional model. Raises `ValueError` if the number of
    labels is not the number of images.
    fits: of how many fits of the extractor the features are, side by side. Metrics are given a set of one, see
    `of_each_fit`. columns: the columns of `parts` that belong to this set.

    A metric that reads `batches` holds at most 1,024 feature vectors at a time, however many images there are.
    """

    parts: tuple[np.ndarray | Path, ...]
    labels: np.ndarray | None = None
    fits: int = 1
    columns: slice = field(default_factory=lambda: slice(None))

    def __post_init__(self) -> None:
        if self.labels is not None and self.labels.shape != (len(self),):
            raise ValueError(f"{len(self)} images cannot have labels {list(self.labels.shape)}")

    @classmethod
    def of(cls, features: np.ndarray, labels: np.ndarray | None = None) -> ImageSet:
        """A set with features [N, d] in memory."""
        return cls((features,), labels)

    @classmethod
    def stored(cls, folder: Path, labels: np.ndarray | None = None) -> ImageSet:
        """A set with the features that `store_features` wrote to `folder`; they are read when needed."""
        parts = tuple(sorted(folder.glob("*.safetensors")))
        if not parts:  # a set without images
            return cls(parts, labels)
        with safe_open(parts[0], framework="numpy") as file:
            fits = int((file.metadata() or {}).get("fits", 1))
        return cls(parts, labels, fits)

    def of_each_fit(self) -> list[ImageSet]:
        """The set once for each fit of the extractor, with that fit's features, float64 [N, d / fits]."""
        if self.fits == 1:
            return [self]
        width = self.dimensions // self.fits
        columns = [slice(start, start + width) for start in range(0, self.dimensions, width)]
        return [replace(self, fits=1, columns=one) for one in columns]

    @property
    def first_fit(self) -> ImageSet:
        """The set with the features of the extractor's first fit alone."""
        return self.of_each_fit()[0]

    def __len__(self) -> int:
        return sum(_shape(part)[0] for part in self.parts)

    @property
    def dimensions(self) -> int:
        """The number of features of an image, d."""
        return len(range(_shape(self.parts[0])[1])[self.columns])

    def batches(self) -> Iterator[np.ndarray]:
        """The features in order, float64 [n, d] with n at most 1,024; may be called again."""
        for part in self.parts:
            features = _loaded(part)[:, self.columns]
            for start in range(0, len(features), ROWS):
                yield features[start : start + ROWS]

    def matrix(self) -> np.ndarray:
        """All features at once, float64 [N, d]."""
        loaded = [_loaded(part)[:, self.columns] for part in self.parts]
        return loaded[0] if len(loaded) == 1 else np.concatenate(loaded)


def store_features(batches: Iterable[np.ndarray], folder: Path, fits: int = 1) -> None:
    """Write each batch of features [n, d] to a file of its own, for `ImageSet.stored`; as float32 if that is exact.

    fits: of how many fits of the extractor the features are, side by side.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, features in enumerate(batches):
        with np.errstate(over="ignore"):
            single = features.astype(np.float32)
        kept = single if np.array_equal(single, features) else features
        path = folder / f"{number:05d}.safetensors"
        save_file({"features": np.ascontiguousarray(kept)}, path, {"fits": str(fits)} if fits > 1 else None)


def _shape(part: np.ndarray | Path) -> tuple[int, int]:
    if isinstance(part, np.ndarray):
        rows, dimensions = part.shape
    else:
        with safe_open(part, framework="numpy") as file:
            rows, dimensions = file.get_slice("features").get_shape()
    return rows, dimensions


def _loaded(part: np.ndarray | Path) -> np.ndarray:
    features = part if isinstance(part, np.ndarray) else load_file(part)["features"]
    return np.asarray(features, dtype=np.float64)
