"""The pixels themselves, for images that no trained extractor is at hand for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from leakfront.errors import InputError
from leakfront.results.features import register


@register("pixels")
@dataclass
class Pixels:
    """Pixel values in [0, 1], averaged over squares down to at most `side` x `side`; nothing is fitted or downloaded.

    Distances between them are those of small copies of the images. For the attacks that look at where an image lies
    among the others; no published FID is of such features.
    """

    name: ClassVar[str] = "pixels"

    side: int = 16

    dimensions = 768  # at most

    def __post_init__(self) -> None:
        """Refuse a side below one pixel."""
        if self.side < 1:
            raise InputError(f"side must be at least 1, got {self.side}")
        self.dimensions = 3 * self.side**2

    def fit(self, images: np.ndarray, labels: np.ndarray, seed: int) -> None:
        """Nothing is fitted."""

    def extract(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, C, H, W] -> float64 [N, C * h * w] with h and w at most `side`."""
        from torch import from_numpy
        from torch.nn.functional import adaptive_avg_pool2d

        size = min(self.side, images.shape[2]), min(self.side, images.shape[3])
        small = adaptive_avg_pool2d(from_numpy(np.ascontiguousarray(images)).double() / 255, size)
        flat: np.ndarray = small.flatten(1).numpy()
        return flat

    def save(self, path: Path) -> None:
        """Write to `path`, as safetensors without a tensor, what these features are."""
        from safetensors.numpy import save_file

        save_file({}, path, {self.name: str(self.side)})

    def load(self, path: Path) -> None:
        """Nothing was fitted, so that there is nothing to take."""
