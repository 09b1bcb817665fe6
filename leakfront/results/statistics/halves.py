"""The AUC that an attack reaches where there is nothing to find: between random halves of one side."""

from __future__ import annotations

import math

import numpy as np

from leakfront.results.statistics.estimate import Estimate
from leakfront.results.statistics.roc import auc

FEWEST = 4  # images of the side
HALVINGS = 200


def auc_of_halves(scores: np.ndarray, side: np.ndarray, seed: int) -> Estimate:
    """The AUC of scores float [P] between two random halves of the images in `side`, bool [P].

    The value is the mean of 200 halvings, close to 0.5, and the interval the range of 95% of them: what an AUC is worth
    from half as many images of one kind. nan below 4 images.
    """
    images = np.flatnonzero(side)
    if len(images) < FEWEST:
        return Estimate(math.nan, math.nan, math.nan, f"not attainable with {len(images)} decoys")
    rng, found = np.random.default_rng(seed), []
    for _ in range(HALVINGS):
        half = np.zeros(len(images), dtype=bool)
        half[rng.permutation(len(images))[: len(images) // 2]] = True
        found.append(auc(scores[images], half))
    low, high = np.quantile(found, [0.025, 0.975])
    return Estimate(float(np.mean(found)), float(low), float(high), f"{HALVINGS} random halvings of the decoys")
