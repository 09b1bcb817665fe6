"""The pixels themselves as features, for images without a suitable trained extractor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge

from leakfront.results.features import FeatureExtractor, FittedExtractor, register


@register("pixels")
@dataclass(frozen=True)
class Pixels(FeatureExtractor):
    """Pixel values in [0, 1], averaged over squares to at most `side` x `side`; nothing is fitted or downloaded.

    Distances between them are distances between small copies of the images. They serve attacks that ask where an image
    lies among the others; no published FID uses such features.
    """

    fitted = False

    side: Annotated[int, Ge(1)] = 16

    @property
    def dimensions(self) -> int:
        """3 side^2, for coloured images of at least `side` pixels; smaller or grey ones have fewer."""
        return 3 * self.side**2

    def fit(self, images: np.ndarray, labels: np.ndarray, seed: int) -> FittedExtractor:
        """Nothing is fitted."""
        return _Squares(self)

    def load(self, path: Path) -> FittedExtractor:
        """Nothing was fitted, so nothing is read."""
        return _Squares(self)


@dataclass(frozen=True)
class _Squares(FittedExtractor):
    extractor: Pixels

    def extract(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, C, H, W] -> float64 [N, C * h * w] with h and w at most `side`."""
        from torch import from_numpy
        from torch.nn.functional import adaptive_avg_pool2d

        side = self.extractor.side
        size = min(side, images.shape[2]), min(side, images.shape[3])
        small = adaptive_avg_pool2d(from_numpy(np.ascontiguousarray(images)).double() / 255, size)
        flat: np.ndarray = small.flatten(1).numpy()
        return flat

    def save(self, path: Path) -> None:
        """Write the side to `path`, as safetensors without a tensor."""
        from safetensors.numpy import save_file

        save_file({}, path, {self.extractor.name: str(self.extractor.side)})
