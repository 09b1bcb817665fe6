"""Is an attack's AUC that of guessing? A test that needs no second model, and allows for coins that splits share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr


def guessing_p_value(
    aucs: Sequence[float], members: Sequence[int], decoys: Sequence[int], shared_coins: bool = False
) -> float:
    """The two-sided p-value of the mean AUC over S splits, if no split's scores depend on the coins of that split.

    aucs: [S]. members, decoys: their numbers in each split, [S].

    A fair coin of its own decides about every image. So if nothing leaks, every split of the pool is as likely as any
    other, whatever the scores are, and the AUC is the Mann-Whitney statistic under its null hypothesis: mean 0.5 and
    variance (m + n + 1) / (12 m n), less with ties (Lehmann 1975, chapter 1). With 20 or more of each it is normal to
    a good approximation. The variance of the mean is the mean variance over S. shared_coins: whether scores come from
    attacks that used the other splits' coins. Then it is up to twice as large, see `over_splits`; with one split no
    coins are shared.

    Returns nan without a split. Raises `ValueError` for lengths that differ, and for a split without members or decoys.
    """
    value, m, n = (np.asarray(v, dtype=np.float64) for v in (aucs, members, decoys))
    if not value.shape == m.shape == n.shape:
        raise ValueError(f"{value.size} AUCs with {m.size} and {n.size} numbers of members and decoys")
    if (m < 1).any() or (n < 1).any():
        raise ValueError("every split needs members and decoys")
    splits = len(value)
    if not splits:
        return math.nan
    variance = float(((m + n + 1) / (12 * m * n)).mean()) / splits
    if shared_coins and splits > 1:
        variance *= 2
    return float(2 * ndtr(-abs(float(value.mean()) - 0.5) / math.sqrt(variance)))
