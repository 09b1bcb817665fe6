"""Images of stripes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Interval

from leakfront.datasets import Dataset, LabelledImages, register


@register("stripes")
@dataclass(frozen=True)
class Stripes(Dataset):
    """Noisy stripes (an example, 2025), horizontal or vertical: `images` grey images of `size` x `size` pixels."""

    images: Annotated[int, Ge(2)] = 1000
    size: Annotated[int, Interval(ge=4, le=256)] = 8

    def load(self) -> LabelledImages:
        rng = np.random.default_rng(0)
        labels = np.arange(self.images) % 2
        wave = 127 * (np.arange(self.size) // 2 % 2)
        stripes = np.where(labels[:, None, None] == 1, wave[None, :, None], wave[None, None, :])
        pixels = stripes + rng.integers(0, 128, (self.images, self.size, self.size))
        return LabelledImages(pixels[:, None].astype(np.uint8), labels.astype(np.int64), ("vertical", "horizontal"))
