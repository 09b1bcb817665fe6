"""Over splits: a mean whose interval covers the variance between trained models, and tests between defenses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats
from scipy.special import ndtr, ndtri

from leakfront.results.statistics.estimate import Estimate

Values = Sequence[float] | np.ndarray
Ends = tuple[Values, Values]


def over_splits(
    values: Values,
    lows: Values,
    highs: Values,
    floor: float | None = None,
    ceiling: float | None = None,
    level: float = 0.95,
) -> Estimate:
    """(mean, low, high, method) of one number measured on S splits, each with its own trained model.

    values, lows, highs: float [S], each split's value and its own interval (nan where there is none). Values that are
    not finite are left out and counted in the method.

    Two splits or more: Student's t interval of the S values with S - 1 degrees of freedom, "t over 3 splits". Each
    value carries its own sampling error, so the interval covers the variance between models and the error within
    one. Few splits can lie close together by chance, so on neither side is the interval narrower than the sampling
    error of the mean: the root of the summed squares of the splits' own half-widths, over S. Values that are all
    equal (counts of 0, say) carry no sign of their spread, so there the hull of the splits' own intervals is taken.
    One split: its own interval, "within 1 split", which says nothing about other models. None: nan. `floor` and
    `ceiling` cut the interval where the quantity cannot go (0 for a count).

    Near such a bound values are skewed, and three that lie close together there are too sure of it: with rates of 160
    images, 0.97 on average, a t interval of 3 holds that in 84% of simulations. So where the mean is within two half-
    widths of a bound, the error on the other side is taken as if the splits' errors were one (their mean half-width,
    which no dependence exceeds, by Minkowski's inequality): 94%.

    Coverage measured over 3 splits (docs/coverage.md) is 95% for normal values that differ between models by far more
    than each is measured wrongly, 97% where they differ by as much, 99% where they do not. Too low it is where values
    are skewed elsewhere (93% for FIDs that vary by half between models), and for counts that jump from 0 to 20.

    Raises ValueError for lengths that differ.
    """
    value, low, high = (np.asarray(v, dtype=np.float64).ravel() for v in (values, lows, highs))
    if not len(value) == len(low) == len(high):
        raise ValueError(f"{len(value)} values with {len(low)} low and {len(high)} high ends")
    finite = np.isfinite(value)
    value, low, high = value[finite], low[finite], high[finite]
    splits, left_out = len(value), int(np.count_nonzero(~finite))
    note = f", {left_out} left out" if left_out else ""
    if splits == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), f"no finite split{note}")
    mean = float(value.mean())
    if splits == 1:
        ends, method = (low[0], high[0]), "within 1 split"
    elif np.ptp(value) == 0:
        mean = float(value[0])
        ends, method = (np.fmin.reduce(low), np.fmax.reduce(high)), f"hull of intervals within {splits} equal splits"
    else:
        half = stats.t.ppf((1 + level) / 2, splits - 1) * value.std(ddof=1) / np.sqrt(splits)
        halves = np.nan_to_num(np.stack([value - low, high - value]))
        (below, above), (if_one_below, if_one_above) = np.sqrt((halves**2).sum(axis=1)) / splits, halves.mean(axis=1)
        if ceiling is not None and mean + 2 * if_one_above >= ceiling:
            below = if_one_below
        if floor is not None and mean - 2 * if_one_below <= floor:
            above = if_one_above
        ends, method = (mean - max(half, below), mean + max(half, above)), f"t over {splits} splits"
    bottom, top = (float(end) for end in np.clip(ends, floor, ceiling))
    return Estimate(mean, bottom, top, method + note)


def paired_test(a: Values, b: Values, of_a: Ends | None = None, of_b: Ends | None = None) -> tuple[float, float]:
    """(p, mean difference a - b): two-sided paired t test of one number under two defenses on the same splits.

    a, b: float [S] in the same order of splits; pairs with a value that is not finite are left out. With fewer than two
    pairs p is nan. Differences that are all equal have no variance for a t test: p is 1 if they are 0, else that
    of the exact sign-flip test, 2^(1 - S), rather than 0.

    of_a, of_b: the (lows, highs), float [S] each, of the values' own 95% intervals (nan: no error). Few differences can
    lie close together by chance, as do counts that jump from 0 to 20 and more, so p is then at least that of a mean
    difference whose standard error is the sampling error within splits: the mean over splits of the root of the
    squared half-widths, on the sides that face each other, over 1.96.

    Raises ValueError for lengths that differ.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"{first.size} and {second.size} values are not pairs")
    paired = np.isfinite(first - second)
    difference = (first - second)[paired]
    splits = len(difference)
    if splits == 0:
        return float("nan"), float("nan")
    mean = float(difference.mean())
    if splits == 1:
        return float("nan"), mean
    if np.ptp(difference) == 0:
        p = 1.0 if mean == 0 else 2.0 ** (1 - splits)
    else:
        p = float(stats.ttest_1samp(difference, 0.0).pvalue)
    if of_a is not None and of_b is not None:
        facing = (of_a[0], of_b[1]) if mean > 0 else (of_a[1], of_b[0])
        halves = [np.nan_to_num(end - value) for value, end in zip((first, second), np.asarray(facing), strict=True)]
        error = float(np.hypot(*halves)[paired].mean()) / float(ndtri(0.975))
        p = max(p, float(2 * ndtr(-abs(mean) / error))) if error > 0 else p
    return p, mean


def apart_without_variance(a: Values, b: Values, ends_a: tuple[float, float], ends_b: tuple[float, float]) -> bool:
    """Whether two defenses differ although a t test of their splits a and b, float [S], has little to go by.

    That is so where one of them has the same value in all splits (mostly a count of 0), so that its interval (low,
    high) over splits is the hull of the sampling errors; then the intervals must lie apart. Elsewhere the paired test
    judges alone: t intervals over 3 splits that lie apart are no proof among many defenses, since with equal truths
    about 1 pair in 200 does, and in 34 comparisons with one baseline 1 run in 13 has such a pair.
    """
    constant = np.ptp(a) == 0 or np.ptp(b) == 0
    return bool(constant and (ends_a[1] < ends_b[0] or ends_b[1] < ends_a[0]))


def holm(p_values: Values) -> np.ndarray:
    """P-values adjusted for their number (Holm 1979): rejecting those below 0.05 errs anywhere in at most 5% of cases.

    p_values: float [K] in [0, 1]. Returns float64 [K] in [0, 1], in the same order. nan (no test) stays nan and is not
    counted as a test. Raises ValueError for p-values outside [0, 1].
    """
    given = np.asarray(p_values, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(given))
    p = given[tested]
    if np.any((p < 0) | (p > 1)):
        raise ValueError("p-values must lie in [0, 1]")
    order = np.argsort(p, kind="stable")
    steps = np.arange(len(p), 0, -1)
    adjusted = np.full(len(given), np.nan)
    adjusted[tested[order]] = np.minimum(np.maximum.accumulate(p[order] * steps), 1.0)
    return adjusted
