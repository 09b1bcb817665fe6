"""Do two models, trained on disjoint halves of the data, make the same images of the same noise?"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from leakfront.results.statistics.estimate import Estimate

_BLOCK = 2**22  # distances in memory at a time


def agreement(one: np.ndarray, other: np.ndarray, asked: np.ndarray) -> Estimate:
    """A = 1 - (mean distance at the same noise) / (mean distance at other noise): 1 for equal images, about 0 if the
    noise says nothing of what the other model makes of it.

    After Kadkhodaie et al. 2024 (arXiv 2310.02557), who compare the two images of one noise; the second mean makes a
    unit of their distance. one, other: float [G, d]; sample i of both models starts from the same noise. asked: int
    [G], what each sample was asked for (its class): distances at other noise are those of all pairs asked for the same.

    The interval is the jackknife's over noises, for the two models that were trained. nan without such a pair, or if
    all images are equal.
    """
    samples = len(one)
    same, others, pairs = np.zeros(samples), np.zeros(samples), np.zeros(samples)  # of the pairs that a noise is in
    for value in np.unique(asked):
        rows = np.flatnonzero(asked == value)
        for block in np.array_split(rows, -(-(len(rows) ** 2) // _BLOCK)):
            distances = cdist(one[block], other[rows])
            here = np.searchsorted(rows, block)
            own = distances[np.arange(len(block)), here]
            same[block] = own
            others[block] += distances.sum(1) - own
            others[rows] += distances.sum(0)
            others[block] -= own
        pairs[rows] = 2 * (len(rows) - 1)
    total, count = others.sum() / 2, pairs.sum() / 2
    if not (total > 0 and (count - pairs > 0).all()):
        return Estimate(np.nan, np.nan, np.nan, "needs three samples asked for the same, and different ones")
    value = 1 - (same.sum() / samples) / (total / count)
    left_out = 1 - ((same.sum() - same) / (samples - 1)) / ((total - others) / (count - pairs))
    half = 1.96 * float(np.sqrt((samples - 1) / samples * np.square(left_out - left_out.mean()).sum()))
    return Estimate(float(value), float(value) - half, min(float(value) + half, 1.0), "jackknife over noises")
