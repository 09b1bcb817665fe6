"""Extraction of the images that are far from all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.attacks.extraction import Extraction
from leakfront.attacks.nearest import nearest_neighbours


@register("outlier")
@dataclass(frozen=True)
class Outlier(Attack):
    """Extraction of outliers (Carlini et al. 2023, arXiv 2301.13188, §4.3).

    The outlierness of a pool image is the mean distance to its `neighbours` nearest other pool images, in the space of
    the run's features. Members and decoys count alike, so it is blind to the coins. The attack looks only at the share
    `fraction` of the pool with the highest outlierness, or at a few images more where outlierness is tied. These images
    get the scores and the rules "adaptive" and "ratio" of the extraction attack with `extraction_neighbours` and
    `alpha`. All other images share one score, below all of these.

    An image that was planted several times has its copies only in the training set and not in the pool, so it may
    count as an outlier here. Therefore extracted images that occur once are also counted separately.
    Access: samples. Model calls: those of the samples only. It misses every image that looks like another pool image.
    """

    access = "samples"
    extracts = True
    summary = "extraction of the pool images farthest from all others"

    neighbours: Annotated[int, Ge(1)] = 5
    fraction: Annotated[float, Gt(0), Le(1)] = 0.25
    extraction_neighbours: Annotated[int, Ge(2)] = 50
    alpha: Annotated[float, Gt(0)] = 0.5

    def minimum_pool(self) -> int:
        return max(self.neighbours, self.extraction_neighbours) + 1

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        distance = outlierness(target.pool.features, self.neighbours)
        attacked = farthest(distance, self.fraction)
        found = Extraction(alpha=self.alpha, neighbours=self.extraction_neighbours).score(target, shadows)
        return Scores(
            np.where(attacked, found.score, found.score.min() - 1),
            matched={rule: found.matched[rule] & attacked for rule in ("adaptive", "ratio")},
            evidence={
                "outlierness": distance.astype(np.float32),
                "nearest_sample": np.where(attacked, found.evidence["nearest_sample"], -1),
            },
            choices={"images attacked": int(attacked.sum()), "chosen by": "outlierness, blind to the coins"},
        )


def outlierness(features: np.ndarray, neighbours: int) -> np.ndarray:
    """Mean distance [P] of each row of features [P, d] to its nearest others, root mean square over dimensions."""
    rows = np.ascontiguousarray(features, dtype=np.float32)
    distances, _ = nearest_neighbours(rows, rows, neighbours + 1)
    # the first column is the image itself, or an equal one, at distance 0
    mean: np.ndarray = distances[:, 1:].astype(np.float64).mean(1)
    return mean


def farthest(distance: np.ndarray, fraction: float) -> np.ndarray:
    """The share `fraction` of images with the highest outlierness, bool [P]; a few more where it is tied."""
    chosen: np.ndarray = distance >= np.sort(distance)[-max(1, round(fraction * len(distance)))]
    return chosen
