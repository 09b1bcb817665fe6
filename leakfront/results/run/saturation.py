"""Audits at their ceiling: every guess was right, so the bound says how large the audit was, not how private."""

from __future__ import annotations

from leakfront.results.run.point import Point
from leakfront.results.run.rows import ALL
from leakfront.results.run.summary import Summary

SATURATED = "saturated"
WHY = "every guess was right, so a larger audit could prove more"


def saturated(
    summary: Summary, point: Point, attack: str, metric: str = "epsilon_lower_bound", split: str = ALL
) -> bool:
    """Whether every guess behind an audited bound was right.

    A row says so. Where there is none (many runs of one canary, runs of earlier versions), the bound is compared with
    its ceiling, which was computed by the same function from the same numbers.
    """
    flag, bound, ceiling = (
        summary.value(point, attack, f"{metric}{end}", split) for end in ("_saturated", "", "_ceiling")
    )
    if flag is not None:
        return flag.value > 0
    return bound is not None and ceiling is not None and 0 < ceiling.value <= bound.value


def strongest_is_saturated(summary: Summary, point: Point, metric: str = "epsilon_lower_bound") -> bool:
    """The same for the attack with the highest bound on a point; false without any."""
    best = summary.strongest(point, metric)
    return best is not None and saturated(summary, point, best[0], metric)
