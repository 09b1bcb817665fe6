"""The values of several models in a few words, for sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from leakfront.results.run.point import Point
from leakfront.results.run.value import Value
from leakfront.results.tables.table import number, shown

Read = Callable[[Point], Value | None]


def known(points: Sequence[Point], read: Read) -> dict[Point, Value]:
    """The values of those points that have one."""
    found = {point: read(point) for point in points}
    return {point: value for point, value in found.items() if value is not None and value.known}


def span(points: Sequence[Point], read: Read, decimals: int | None = None, of: str = "") -> str:
    """The values of several points with their intervals, from the lowest to the highest; empty if none is known.

    of: what the numbers count, after the numbers: " of 125 members".
    """
    values = sorted(known(points, read).values(), key=lambda value: value.value)
    if not values:
        return ""
    low, high = shown(values[0], decimals), shown(values[-1], decimals)
    if low.text != high.text:
        return f"{low} to {high}{of}"
    if len(values) == 1:
        return f"{low}{of}"
    ends = [(value.low, value.high) for value in values if value.has_interval]
    if not ends:
        return f"{low.text}{of} at each strength"
    least, most = (number(end, decimals) for end in (min(low for low, _ in ends), max(high for _, high in ends)))
    return f"{low.text}{of} at each strength (intervals within [{least}, {most}])"


def plain(points: Sequence[Point], read: Read, decimals: int | None = None) -> str:
    """The values of the undefended models without their intervals: "27.3", or "27.3 or 18" of two runs."""
    texts = [number(value.value, decimals) for value in known(points, read).values()]
    return " or ".join(dict.fromkeys(texts))
