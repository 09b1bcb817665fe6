"""When does a number first reach a level? Read from measurements at some of the steps of a training."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np


class Crossing(NamedTuple):
    """steps: when the level is reached. censored: "" if that was seen; else steps is the one that it is "before" (the
    first measurement, which has reached it already) or "after" (the last one, which has not)."""

    steps: float
    censored: Literal["", "before", "after"]


def first_crossing(steps: np.ndarray, values: np.ndarray, level: float, rising: bool = True) -> Crossing:
    """The first step at which a number is at least `level` (rising) or at most (falling).

    steps: float [K], above 0 and rising. values: float [K]. Between the first measurement that has reached the level
    and the one before, the number is taken as linear in the logarithm of steps.

    Raises `ValueError` for no measurement, for steps that do not rise, and for values that are not finite.
    """
    x, y = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    if not (len(x) == len(y) > 0 and x[0] > 0 and (np.diff(x) > 0).all() and np.isfinite(y).all()):
        raise ValueError("steps must be above 0 and rise, with one finite value each")
    reached = np.flatnonzero(y >= level if rising else y <= level)
    if not len(reached):
        return Crossing(float(x[-1]), "after")
    at = int(reached[0])
    if at == 0:
        return Crossing(float(x[0]), "before")
    share = (level - y[at - 1]) / (y[at] - y[at - 1])
    return Crossing(float(np.exp(np.log(x[at - 1]) + share * np.log(x[at] / x[at - 1]))), "")
