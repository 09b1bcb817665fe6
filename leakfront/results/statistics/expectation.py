"""Does a study agree with what was expected of it? Three answers, by a margin that was stated beforehand."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from scipy import stats

from leakfront.results.statistics.estimate import Estimate
from leakfront.results.statistics.splits import Values

Answer = Literal["agrees", "disagrees", "not resolved at this size"]
Direction = Literal["above", "below"]


def by_interval(effect: Estimate, direction: Direction, margin: float) -> Answer:
    """The answer of an effect's interval to "the effect is above (below) the margin".

    agrees: the whole interval lies on the expected side of the margin. disagrees: the whole interval lies on the other
    side of 0. Otherwise the question is not resolved at this size. margin: 0 or above for "above", 0 or below for
    "below"; `ValueError` otherwise.
    """
    sign = 1 if direction == "above" else -1
    if sign * margin < 0:
        raise ValueError(f"the margin is {margin}; an effect expected {direction} it needs one on that side of 0")
    nearest, farthest = sorted((sign * effect.low, sign * effect.high))
    if math.isnan(effect.low) or math.isnan(effect.high):
        return "not resolved at this size"
    if nearest > sign * margin:
        return "agrees"
    return "disagrees" if farthest < 0 else "not resolved at this size"


def by_p_values(expected: float, opposite: float, level: float = 0.01) -> Answer:
    """The answer of two one-sided p-values: agrees below the level in the expected direction, disagrees in the other.

    nan is no test: not resolved.
    """
    if expected < level:
        return "agrees"
    return "disagrees" if opposite < level else "not resolved at this size"


def by_equivalence(
    effect: Estimate, p_value: float, around: float, margin: float, level: float = 0.05, holds: bool = False
) -> Answer:
    """The answer to "the effect is `around`, within the margin".

    agrees: two one-sided tests reject at the level that it lies farther off (`statistics.equivalence`, of the distances
    from `around`). disagrees: the whole interval lies farther off. nan is no test: not resolved. holds: to agree, the
    interval must also hold `around`; one that does not disagrees.
    """
    apart = effect.low > around or effect.high < around
    if p_value < level and not (holds and apart):
        return "agrees"
    outside = effect.low > around + margin or effect.high < around - margin
    return "disagrees" if outside or (holds and apart) else "not resolved at this size"


def by_count(count: int, of: int, chance: float = 0.05, level: float = 0.01) -> Answer:
    """The answer to "none of these bounds is exceeded".

    agrees: none is. disagrees: more are than `chance` makes likely, the share of true bounds that are exceeded by
    chance: the binomial probability of `count` or more of `of` is below the level.
    """
    if not count:
        return "agrees"
    return "disagrees" if stats.binom.sf(count - 1, of, chance) < level else "not resolved at this size"


def beyond_p_value(values: Values, direction: Direction, margin: float) -> float:
    """The two-sided t test's p-value for "the mean effect lies beyond the margin", float [S] one for each split.

    It is twice the one-sided p, at most 1, so that it is below 0.05 exactly if the 95% t interval lies beyond the
    margin. nan with fewer than two splits, and for effects that are all equal, since they do not show their spread.
    """
    effects = np.asarray(values, dtype=np.float64)
    if len(effects) < 2 or np.ptp(effects) == 0:
        return math.nan
    side: Literal["greater", "less"] = "greater" if direction == "above" else "less"
    return min(1.0, 2 * float(stats.ttest_1samp(effects, margin, alternative=side).pvalue))
