"""Does a score depend on a level that was assigned at random? An exact test by assigning the levels anew."""

from __future__ import annotations

import numpy as np


def permutation_p_values(
    scores: np.ndarray, levels: np.ndarray, strata: np.ndarray, draws: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """(p of a rise, p of a fall): the covariance of scores with levels, when levels are dealt anew within each stratum.

    scores, levels: float [N]. strata: int [N]; the levels were assigned at random within each stratum (a split, a
    group of equal difficulty), so that every order of a stratum's levels is equally likely if they have no effect. The
    test is exact whatever the scores are, also with few draws: p = (1 + as large) / (1 + draws) (Phipson and Smyth
    2010, arXiv 1603.05766).

    Raises `ValueError` for lengths that differ, fewer than one draw, and values that are not finite.
    """
    x, y, groups = np.asarray(scores, np.float64), np.asarray(levels, np.float64), np.asarray(strata)
    if not x.shape == y.shape == groups.shape or x.ndim != 1:
        raise ValueError(f"{x.size} scores with {y.size} levels in {groups.size} strata")
    if draws < 1:
        raise ValueError(f"{draws} draws; at least 1 is needed")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("scores and levels must be finite")
    rng = np.random.default_rng(seed)
    found, dealt = 0.0, np.zeros(draws)
    for group in np.unique(groups):
        of_group = groups == group
        centred, given = x[of_group] - x[of_group].mean(), y[of_group]
        found += float(centred @ given)
        dealt += rng.permuted(np.tile(given, (draws, 1)), axis=1) @ centred
    slack = 1e-9 * (1 + abs(found))  # equal sums in another order differ by rounding
    rise = (1 + np.count_nonzero(dealt >= found - slack)) / (1 + draws)
    fall = (1 + np.count_nonzero(dealt <= found + slack)) / (1 + draws)
    return float(rise), float(fall)
