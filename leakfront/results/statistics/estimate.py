"""What every statistic and every metric returns: a number with its interval."""

from __future__ import annotations

from typing import NamedTuple


class Estimate(NamedTuple):
    """A value, its 95% interval from `low` to `high` (nan where there is none), and how the interval was made."""

    value: float
    low: float
    high: float
    method: str
