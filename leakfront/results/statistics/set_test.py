"""Whether a whole set of images is in the training data: Welch's test of its scores against known non-members."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import ttest_ind

SETS = 200  # random sets for each size


class SetPower(NamedTuple):
    """Over random sets: the median p-value with its quartiles, the share with p < 0.05, and the number of sets."""

    median_p: float
    quartiles: tuple[float, float]
    detected: float
    sets: int


def welch_p_values(scores: np.ndarray, of_non_members: np.ndarray) -> np.ndarray:
    """One-sided p-values, float [S], of "these scores are no higher on average than those of non-members".

    scores: float [S, n], S sets; of_non_members: float [S, m]. If neither side of a set varies, its test has no
    variance: the p-value is 0 if the scores are higher, else 1.
    """
    constant = (np.ptp(scores, axis=1) == 0) & (np.ptp(of_non_members, axis=1) == 0)
    p_values = np.where(scores[:, 0] > of_non_members[:, 0], 0.0, 1.0)
    tested = ~constant
    if tested.any():
        sides = scores[tested], of_non_members[tested]
        p_values[tested] = ttest_ind(*sides, axis=1, equal_var=False, alternative="greater").pvalue
    return p_values


def set_power(
    scores: np.ndarray, members: np.ndarray, size: int, seed: int, sets: int = SETS, of_decoys: bool = False
) -> SetPower:
    """The test of Dubinski et al. (CDI, CVPR 2025, arXiv 2411.12858) on random sets of `size` members.

    scores: float [P]; members: bool [P]. Each set is compared with as many decoys drawn at random. With `of_decoys` the
    set consists of other decoys, which shows the test's false alarms. Draws are without replacement. The sets overlap,
    so the share detected describes this model only and has no interval. Raises `ValueError` if there are fewer members
    than `size`, or fewer decoys than twice as many.
    """
    inside, outside = np.flatnonzero(members), np.flatnonzero(~members)
    if size < 2 or len(inside) < size or len(outside) < 2 * size:
        raise ValueError(
            f"sets of {size} need as many members and twice as many decoys, of {len(inside)}, {len(outside)}"
        )
    rng = np.random.default_rng(seed)
    tested, known = np.empty((2, sets, size), dtype=np.int64)
    for number in range(sets):
        decoys = rng.permutation(outside)[: 2 * size]
        known[number] = decoys[:size]
        tested[number] = decoys[size:] if of_decoys else rng.permutation(inside)[:size]
    p_values = welch_p_values(scores[tested], scores[known])
    low, middle, high = np.quantile(p_values, [0.25, 0.5, 0.75])
    return SetPower(float(middle), (float(low), float(high)), float(np.mean(p_values < 0.05)), sets)
