"""Extraction of the images that stand apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.attacks.extraction import Extraction
from leakfront.attacks.nearest import nearest_neighbours
from leakfront.errors import InputError


@register("outlier")
@dataclass(frozen=True)
class Outlier(Attack):
    """Extraction of outliers (Carlini et al. 2023, arXiv 2301.13188, §4.3).

    Outlierness of a pool image: the mean distance to its `neighbours` nearest other pool images in the space of the
    run's features. Members and decoys count alike, so it is blind to the coins. Only the share `fraction` of the pool
    with the highest outlierness is attacked (a little more where outlierness is tied), by the extraction attack with
    `extraction_neighbours` and `alpha`, whose scores and rules "adaptive" and "ratio" these images get. All others
    share one score below.

    This is a choice of what to look at. An image that was planted several times has its copies in the training set
    alone, not in the pool, so it may count as an outlier here: counts of images that are there once are reported apart.
    Access: samples. No model calls beside the samples. It misses every image that looks like another of the pool.
    """

    access = "samples"
    extracts = True
    summary = "extraction of the pool images farthest from all others"

    neighbours: int = 5
    fraction: float = 0.25
    extraction_neighbours: int = 50
    alpha: float = 0.5

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise InputError(f"attacks.outlier.neighbours is {self.neighbours}; it must be at least 1")
        if not 0 < self.fraction <= 1:
            raise InputError(f"attacks.outlier.fraction is {self.fraction}; it must be above 0 and at most 1")
        if self.extraction_neighbours < 2:
            raise InputError(
                f"attacks.outlier.extraction_neighbours is {self.extraction_neighbours}; it must be at least 2"
            )
        if not self.alpha > 0:
            raise InputError(f"attacks.outlier.alpha is {self.alpha}; it must be above 0")

    def minimum_pool(self) -> int:
        return max(self.neighbours, self.extraction_neighbours) + 1

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        outlierness = self._outlierness(target.pool.features)
        attacked = outlierness >= np.sort(outlierness)[-max(1, round(self.fraction * len(outlierness)))]
        found = Extraction(alpha=self.alpha, neighbours=self.extraction_neighbours).score(target, shadows)
        return Scores(
            np.where(attacked, found.score, found.score.min() - 1),
            matched={rule: found.matched[rule] & attacked for rule in ("adaptive", "ratio")},
            evidence={
                "outlierness": outlierness.astype(np.float32),
                "nearest_sample": np.where(attacked, found.evidence["nearest_sample"], -1),
            },
            choices={"images attacked": int(attacked.sum()), "chosen by": "outlierness, blind to the coins"},
        )

    def _outlierness(self, features: np.ndarray) -> np.ndarray:
        """Mean distance of features [P, d] to the nearest others (the root mean square over dimensions), [P]."""
        rows = np.ascontiguousarray(features, dtype=np.float32)
        distances, _ = nearest_neighbours(rows, rows, self.neighbours + 1)
        # the first is the image itself, or an equal one, at distance 0
        outlierness: np.ndarray = distances[:, 1:].astype(np.float64).mean(1)
        return outlierness
