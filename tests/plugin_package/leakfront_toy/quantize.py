"""Fewer grey levels in the training images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from annotated_types import Interval

from leakfront.defenses import Defense, TrainingSet, register


@register("quantize")
@dataclass(frozen=True)
class Quantize(Defense):
    """Train on images with `levels` grey levels in each channel, evenly spaced (an example, 2025).

    It costs detail, and training takes no longer. It gives no guarantee.
    """

    acts_on = "data"
    summary = "fewer grey levels in the training images"

    levels: Annotated[int, Interval(ge=2, le=256)] = 4

    def prepare(self, dataset: TrainingSet) -> TrainingSet:
        step = 255 / (self.levels - 1)
        return replace(dataset, images=np.rint(np.rint(dataset.images / step) * step).astype(np.uint8))
