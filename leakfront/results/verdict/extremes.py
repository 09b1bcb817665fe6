"""The worst of a model's numbers over its splits and attacks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData
    from leakfront.results.run.point import Point
    from leakfront.results.run.value import Value


def worst(run: RunData, point: Point, source: str, metric: str, level: float | None = None) -> Value | None:
    """The value of the split with the highest upper end."""
    values = [v for v in run.summary.per_split(point, source, metric, level).values() if v.known]
    return max(values, key=lambda v: v.high if math.isfinite(v.high) else v.value, default=None)


def highest(run: RunData, point: Point, metric: str, level: float | None = None) -> tuple[str, Value] | None:
    """The attack and value with the highest number among all attacks and splits, without controls."""
    summary = run.summary
    found = [
        (attack, value)
        for attack in summary.attacks if attack not in summary.controls
        for value in summary.per_split(point, attack, metric, level).values() if value.known
    ]  # fmt: skip
    return max(found, key=lambda pair: pair[1].value, default=None)
