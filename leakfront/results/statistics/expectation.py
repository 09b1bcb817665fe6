"""Does a study agree with what was expected of it? Three answers, by a margin that was stated beforehand."""

from __future__ import annotations

import math
from typing import Literal

from leakfront.results.statistics.estimate import Estimate

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
