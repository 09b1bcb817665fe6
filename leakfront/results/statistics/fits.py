"""Over fits of a feature extractor: a mean with an interval that covers how far the number depends on the fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from leakfront.results.statistics.estimate import Estimate


def over_fits(estimates: Sequence[Estimate], floor: float | None = None, ceiling: float | None = None) -> Estimate:
    """The mean of a number over k fits, with an interval for its mean over all fits; one fit leaves it as it is.

    estimates: the number with each fit's features, on the same images. floor, ceiling: the ends of the number's range.
    """
    if len(estimates) == 1:
        return estimates[0]
    return widened(mean_over_fits(estimates), [estimate.value for estimate in estimates], floor, ceiling)


def mean_over_fits(estimates: Sequence[Estimate]) -> Estimate:
    """The mean, and the sampling error of the images alone.

    The fits see the same images, so their errors are taken as fully dependent: half-widths are averaged.
    """
    value, low, high = np.mean([estimate[:3] for estimate in estimates], axis=0)
    return Estimate(float(value), float(low), float(high), estimates[0].method)


def widened(
    estimate: Estimate, values: Sequence[float], floor: float | None = None, ceiling: float | None = None
) -> Estimate:
    """An estimate whose interval covers the variation between fits too.

    values: the number with each of the k fits, at least two. Each half-width becomes the root of the sum of its square
    and that of t s / sqrt(k), the half-width of Student's 95% interval with k - 1 degrees of freedom, where s is the
    standard deviation of `values`. The sampling error makes fits differ a little too, and so is counted twice: the
    interval errs on the wide side. It is cut at `floor` and `ceiling`.
    """
    k = len(values)
    between = float(stats.t.ppf(0.975, k - 1) * np.std(values, ddof=1) / np.sqrt(k))
    low = estimate.value - np.hypot(estimate.value - estimate.low, between)
    high = estimate.value + np.hypot(estimate.high - estimate.value, between)
    low, high = (float(end) for end in np.clip([low, high], floor, ceiling))
    return Estimate(estimate.value, low, high, f"{estimate.method}; t over {k} fits of the features")
