"""The ratio of two numbers that were measured on the same splits."""

from __future__ import annotations

import numpy as np
from scipy import stats

from leakfront.results.statistics.estimate import Estimate
from leakfront.results.statistics.splits import Values


def ratio_over_splits(values: Values, bases: Values, level: float = 0.95) -> Estimate:
    """The ratio of a positive number to its base, both measured on the same S splits.

    values, bases: float [S] in the same order of splits. Pairs without two finite numbers are left out and counted in
    the method. The ratio is the geometric mean of the pairs' ratios: twice and half cancel, and exchanging values and
    bases inverts it. Its interval is Student's t of the S logarithms with S - 1 degrees of freedom, "t of logarithms
    over 3 splits". The interval is nan where nothing shows how the ratio varies: for one split, and for ratios that are
    all equal (of counts that are fixed beforehand). Without a pair everything is nan.

    Raises `ValueError` for lengths that differ, and for finite values or bases that are not positive.
    """
    value, base = (np.asarray(v, dtype=np.float64).ravel() for v in (values, bases))
    if len(value) != len(base):
        raise ValueError(f"{len(value)} values and {len(base)} bases are not pairs")
    finite = np.isfinite(value) & np.isfinite(base)
    value, base = value[finite], base[finite]
    if (value <= 0).any() or (base <= 0).any():
        raise ValueError("values and bases must be positive, since ratios are averaged as logarithms")
    splits, left_out, nan = len(value), int(np.count_nonzero(~finite)), float("nan")
    note = f", {left_out} left out" if left_out else ""
    if splits == 0:
        return Estimate(nan, nan, nan, f"no pair of finite numbers{note}")
    ratio = value / base
    if np.ptp(ratio) == 0:
        method = f"{splits} equal splits" if splits > 1 else "1 split"
        return Estimate(float(ratio[0]), nan, nan, method + note)
    log = np.log(ratio)
    half = stats.t.ppf((1 + level) / 2, splits - 1) * log.std(ddof=1) / np.sqrt(splits)
    middle, low, high = (float(np.exp(log.mean() + by)) for by in (0.0, -half, half))
    return Estimate(middle, low, high, f"t of logarithms over {splits} splits{note}")
