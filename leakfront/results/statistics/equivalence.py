"""Are two numbers equal within a margin? Two one-sided tests over splits."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from leakfront.results.statistics.splits import Values


def equivalence_p_value(differences: Values, margin: float) -> float:
    """The p-value of "the mean difference is outside ±margin": two one-sided t tests (Schuirmann 1987), the larger p.

    differences: float [S], one for each split; values that are not finite are left out. margin: above 0, stated before
    the differences are seen. p below 0.05 exactly if the 90% t interval of the mean lies within the margin. nan with
    fewer than two splits, and for differences that are all equal, since they do not show their spread.

    Raises `ValueError` for a margin that is not above 0.
    """
    if not margin > 0:
        raise ValueError(f"the margin is {margin}; it must be above 0")
    values = np.asarray(differences, dtype=np.float64).ravel()
    values = values[np.isfinite(values)]
    if len(values) < 2 or np.ptp(values) == 0:
        return math.nan
    below = stats.ttest_1samp(values, -margin, alternative="greater").pvalue
    above = stats.ttest_1samp(values, margin, alternative="less").pvalue
    return float(max(below, above))
