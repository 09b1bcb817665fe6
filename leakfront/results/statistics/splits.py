"""Over splits: a mean with an interval that covers the variance between trained models, and tests of defenses."""

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
    shared_coins: bool = False,
) -> Estimate:
    """The mean of one number over S splits, each with its own trained model, and an interval.

    values, lows, highs: float [S], each split's value and its own interval (nan where there is none). Values that are
    not finite are left out and counted in the method. `floor` and `ceiling` are the ends of the quantity's range (0 for
    a count), at which the interval is cut.

    Two splits or more: Student's t interval of the S values with S - 1 degrees of freedom, "t over 3 splits". Each
    value has its own sampling error, so the interval covers both the variance between models and the error within one.
    A few splits can lie close together by chance, so on neither side is the interval narrower than the sampling error
    of the mean: the root of the sum of squares of the splits' own half-widths, over S. Values that are all equal
    (counts of 0, for example) do not show their spread; for them the interval is the hull of the splits' own intervals.
    One split: its own interval, "within 1 split", which says nothing about other models. No split: nan.

    shared_coins: whether each value comes from an attack that was fitted, or chose something, on the other splits. The
    values then share coins, even if nothing leaks, and their errors correlate by up to 1 / (S - 1): each pair of splits
    shares one comparison of coins out of the S - 1 that each value rests on. (Measured over 3 splits with nothing to
    find: 0.47 for a logistic regression, 0.25 for LiRA.) A t interval that takes them as independent holds the truth in
    92% of cases. So the error of their mean is taken as √2 times as large, and what a spread of correlated values does
    not show, 1 / (S - 1) of a split's squared half-width, is added to the squared half-width of the t interval.

    Near a bound of the range, values are skewed, and a t interval of three close values is too narrow: for rates of 160
    images with mean 0.97 it covers the mean in 84% of simulations. So if the mean is within two half-widths of a bound,
    the error on the other side is computed as if the splits' errors were fully dependent (their mean half-width, the
    largest possible by Minkowski's inequality): 94%.

    Coverage measured over 3 splits (docs/coverage.md) is 95% for normal values that differ between models by far more
    than their sampling error, 97% if they differ by as much, 99% if they do not differ. It is too low for values that
    are skewed away from the bounds (93% for FIDs that vary by half between models), and for counts that jump from 0 to
    20.

    Raises `ValueError` for lengths that differ.
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
        half_below = half_above = half
        if shared_coins:
            below, above = np.sqrt(2) * below, np.sqrt(2) * above
            half_below, half_above = np.hypot(half, np.sqrt((halves**2).mean(axis=1) / (splits - 1)))
        if ceiling is not None and mean + 2 * if_one_above >= ceiling:
            below = max(below, if_one_below)
        if floor is not None and mean - 2 * if_one_below <= floor:
            above = max(above, if_one_above)
        ends = mean - max(half_below, below), mean + max(half_above, above)
        method = f"t over {splits} splits" + (" that share coins" if shared_coins else "")
    bottom, top = (float(end) for end in np.clip(ends, floor, ceiling))
    return Estimate(mean, bottom, top, method + note)


def paired_test(a: Values, b: Values, of_a: Ends | None = None, of_b: Ends | None = None) -> tuple[float, float]:
    """(p, mean difference a - b): two-sided paired t test of one number under two defenses on the same splits.

    a, b: float [S] in the same order of splits; pairs with a value that is not finite are left out. With fewer than two
    pairs p is nan. Differences that are all equal have no variance for a t test: p is then 1 if they are 0, and that of
    the exact sign-flip test, 2^(1 - S), if they are not.

    of_a, of_b: the (lows, highs), float [S] each, of the values' own 95% intervals (nan: no error). A few differences
    can lie close together by chance, such as counts that jump from 0 to 20 and more. With these intervals p is
    therefore at least that of a mean difference with the sampling error within splits as standard error: the mean over
    splits of the root of the squared half-widths, on the sides that face each other, over 1.96.

    Raises `ValueError` for lengths that differ.
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
    """Whether two defenses differ, for splits a and b, float [S], on which a t test has little power.

    That is the case if one of them has the same value in all splits (mostly a count of 0). Its interval (low, high)
    over splits is then the hull of the sampling errors, and the two differ if the intervals do not overlap. In all
    other cases the paired test decides alone: t intervals over 3 splits that do not overlap prove nothing among many
    defenses. With equal true values about 1 pair in 200 does not overlap, and in 34 comparisons with one baseline 1 run
    in 13 has such a pair.
    """
    constant = np.ptp(a) == 0 or np.ptp(b) == 0
    return bool(constant and (ends_a[1] < ends_b[0] or ends_b[1] < ends_a[0]))


def holm(p_values: Values) -> np.ndarray:
    """P-values adjusted for their number (Holm 1979): rejecting those below 0.05 makes an error in at most 5% of cases.

    p_values: float [K] in [0, 1]. Returns float64 [K] in [0, 1], in the same order. nan (no test) stays nan and is not
    counted as a test. Raises `ValueError` for p-values outside [0, 1].
    """
    all_values = np.asarray(p_values, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(all_values))
    p = all_values[tested]
    if np.any((p < 0) | (p > 1)):
        raise ValueError("p-values must lie in [0, 1]")
    order = np.argsort(p, kind="stable")
    steps = np.arange(len(p), 0, -1)
    adjusted = np.full(len(all_values), np.nan)
    adjusted[tested[order]] = np.minimum(np.maximum.accumulate(p[order] * steps), 1.0)
    return adjusted
