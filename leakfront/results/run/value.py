"""A number of a row, with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Value:
    """A number from a row, with its 95% interval (nan where there is none) and the method of the interval."""

    value: float
    low: float
    high: float
    n: int
    method: str

    @property
    def known(self) -> bool:
        """Whether there is a number; a row without one says why."""
        return math.isfinite(self.value)

    @property
    def has_interval(self) -> bool:
        """Whether both ends of the interval are finite."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def above(self, other: float | Value) -> bool:
        """Whether the interval lies above the number, or above the other interval."""
        return self.low > (other.high if isinstance(other, Value) else other)

    def below(self, other: float | Value) -> bool:
        """Whether the interval lies below the number, or below the other interval."""
        return self.high < (other.low if isinstance(other, Value) else other)
