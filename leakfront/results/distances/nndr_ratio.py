"""How much nearer samples are to their nearest image than to the second nearest, among members against decoys."""

from __future__ import annotations

import math

import numpy as np

from leakfront.results.statistics.estimate import Estimate

RANK = 10  # of the smallest ratios


def nndr_ratio(to_members: np.ndarray, to_decoys: np.ndarray) -> Estimate:
    """The 10th smallest d1 / d2 of samples against T over the 10th smallest against H; 1 if the sides are exchangeable.

    Source: the nearest-neighbour distance ratio of mostlyai-qa. to_members, to_decoys: float [G, 2], the distances of
    each sample to its two nearest members and decoys. Below 1, samples single out members more than decoys. nan for
    fewer than 10 samples, and where the 10th smallest against H is 0. It has no interval within one model.
    """
    if len(to_members) < RANK:
        return Estimate(math.nan, math.nan, math.nan, f"needs {RANK} samples")
    of_members, of_decoys = (_smallest(pair) for pair in (to_members, to_decoys))
    value = of_members / of_decoys if of_decoys > 0 else math.nan
    return Estimate(value, math.nan, math.nan, "no interval within one model")


def _smallest(pair: np.ndarray) -> float:
    """The 10th smallest ratio of the two distances, float [G, 2]."""
    first, second = np.asarray(pair, np.float64).T
    ratios = np.divide(first, second, out=np.ones_like(first), where=second > 0)
    return float(np.partition(ratios, RANK - 1)[RANK - 1])
