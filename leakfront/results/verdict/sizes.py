"""How many members and decoys would decide a rule that a run leaves undecided."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.special import betaincinv

from leakfront.results.run.value import Value

MOST = 10**9  # members; what needs more is not worth stating
_TAIL = 0.025


def would_decide(value: Value, at_most: float, share: bool) -> int | None:
    """The least number of members (with decoys in proportion) at which the interval would lie on one side of the limit.

    None if no number would, as the value is the limit. value: of a row, with its 95% interval, which holds the limit;
    `value.n` members are behind it. share: whether the limit is for the value's share of them.

    It is assumed that the share stays as it was measured. An exact interval of a count is computed again at each size
    (bisection); of a count of 0, only the number of members that may be hidden stays, since what chance matches does
    not grow with the pool. Any other interval shrinks as 1 / sqrt(n).
    """
    if share and value.method.startswith("Clopper-Pearson"):
        return _of_count(value, at_most)
    scale = value.n if share else 1
    middle, low, high = (number / scale for number in (value.value, value.low, value.high))
    apart, reach = (at_most - middle, high - middle) if middle < at_most else (middle - at_most, middle - low)
    if apart <= 0 or not math.isfinite(reach):
        return None
    needed = value.n * (reach / apart) ** 2
    return math.ceil(needed) if needed <= MOST else None


def _of_count(value: Value, at_most: float) -> int | None:
    n, found = value.n, value.value
    if found == 0:
        hidden = _counted(value.high / n, n)
        return _least(lambda size: _upper(min(hidden, size), size) <= at_most, n)
    share = found / n
    if share < at_most:
        hidden = max(_counted(value.high / n, n) / n, share)
        if hidden < at_most:
            return _least(lambda size: _upper(hidden * size, size) <= at_most, n)
        return _least(lambda size: _upper(share * size, size) <= at_most, n)
    return _least(lambda size: _lower(share * size, size) > at_most, n) if share > at_most else None


def _least(decides: Callable[[int], bool], start: int) -> int | None:
    """The smallest size above `start` that decides; sizes above it are taken to decide, too."""
    low, high = start, 2 * start
    while not decides(high):
        low, high = high, 2 * high
        if high > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high


def _counted(upper: float, n: int) -> float:
    """The count whose exact interval in n trials ends at `upper`."""
    low, high = 0.0, float(n)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if _upper(middle, n) > upper else (middle, high)
    return low


def _upper(k: float, n: int) -> float:
    """The upper end of the Clopper-Pearson interval, for any k in 0 … n."""
    return 1.0 if k >= n else float(betaincinv(k + 1, n - k, 1 - _TAIL))


def _lower(k: float, n: int) -> float:
    """Its lower end."""
    return 0.0 if k <= 0 else float(betaincinv(k, n - k + 1, _TAIL))
