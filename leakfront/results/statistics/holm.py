"""Several tests in one report: p-values corrected for their number."""

from __future__ import annotations

import numpy as np

from leakfront.results.statistics.splits import Values


def holm(p_values: Values) -> np.ndarray:
    """The p-values adjusted by Holm's method (Holm 1979), float [N]: below a level, the tests that it rejects at it.

    The probability of at least one false rejection is then at most the level, however the tests depend on each other.
    nan (no test) stays nan and does not count.
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    order = [i for i in np.argsort(p) if np.isfinite(p[i])]
    steps = [min(1.0, (len(order) - rank) * p[i]) for rank, i in enumerate(order)]
    if steps:
        adjusted[order] = np.maximum.accumulate(steps)
    return adjusted
