"""The distance between the means of two sets of features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge

from leakfront.results.metrics import Metric, register
from leakfront.results.metrics.image_set import ImageSet
from leakfront.results.statistics.estimate import Estimate


@register("mean_distance")
@dataclass(frozen=True)
class MeanDistance(Metric):
    """||mean of generated features - mean of real ones|| (an example, 2025), with a bootstrap interval.

    0 for equal means. It sees nothing but the means.
    """

    higher_is_better = False
    floor = 0.0

    draws: Annotated[int, Ge(10)] = 200

    def minimum(self, dimensions: int) -> int:
        return 2

    def estimate(self, generated: ImageSet, real: ImageSet, seed: int) -> Estimate:
        self.check_images(generated, real)
        a, b = generated.matrix(), real.matrix()
        rng = np.random.default_rng(seed)
        drawn = [
            _distance(a[rng.integers(len(a), size=len(a))], b[rng.integers(len(b), size=len(b))])
            for _ in range(self.draws)
        ]
        value, spread = _distance(a, b), 1.96 * float(np.std(drawn))
        return Estimate(value, max(0.0, value - spread), value + spread, f"bootstrap of {self.draws} draws")


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a.mean(axis=0) - b.mean(axis=0)))
