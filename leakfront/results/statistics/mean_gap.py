"""The difference of two means."""

from __future__ import annotations

import numpy as np
from scipy import stats

from leakfront.results.statistics.estimate import Estimate


def mean_gap(of: np.ndarray, minus: np.ndarray) -> Estimate:
    """The mean of `of`, float [N], minus that of `minus`, float [M], with the t interval of Welch (1947).

    It takes the values as independent draws. nan ends with fewer than two values on a side, or if all are equal there.
    """
    a, b = np.asarray(of, np.float64), np.asarray(minus, np.float64)
    value, variances = float(a.mean() - b.mean()), [float(x.var(ddof=1)) / len(x) if len(x) > 1 else 0 for x in (a, b)]
    if min(len(a), len(b)) < 2 or not sum(variances):
        return Estimate(value, np.nan, np.nan, "no interval: it needs two different values on each side")
    freedom = sum(variances) ** 2 / sum(v**2 / (len(x) - 1) for v, x in zip(variances, (a, b), strict=True))
    half = float(stats.t.ppf(0.975, freedom) * np.sqrt(sum(variances)))
    return Estimate(value, value - half, value + half, "Welch's t interval over images")
