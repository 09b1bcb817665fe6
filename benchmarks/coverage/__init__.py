"""Simulations of how often each interval of the project holds the truth, and how often its tests err.

The slow tests run them (`tests/results/statistics/test_coverage.py`), and `python -m benchmarks.coverage` writes the
rates into docs/coverage.md. Sizes are those of the benchmarks on digits: pools of 320 or 640 fair coins, 3 splits, 64
features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri
from scipy.stats import binom

Draw = Callable[[np.random.Generator], Sequence[object]]

RUNS = 2500  # a true 95% leaves the band in 1 of 1,500 simulations; a true 92% or 98% stays in it in at most 1 of 300
LEVEL = 0.95


class Measured(NamedTuple):
    """The result of a simulation.

    rate: the share of runs in which the interval held the truth, or the test erred. runs: 0 if the chances of all
    outcomes were summed instead. width: mean width, divided by that of value ± 1.96 true standard deviations of the
    value; nan for an interval with one end.
    """

    rate: float
    runs: int
    width: float


@dataclass(frozen=True)
class Promise:
    """The promise for a rate, in words, and the range that the measured rate must lie in."""

    words: str
    low: float
    high: float

    def kept(self, measured: Measured) -> bool:
        """Whether the rate lies in the range."""
        return self.low <= measured.rate <= self.high


def _least(runs: int) -> float:
    """The rate below which fewer than 1 in 1,000 simulations fall if the true coverage is 95%."""
    return float(binom.ppf(1e-3, runs, LEVEL)) / runs


NOMINAL = Promise("95%", 0.935, 0.965)
AT_LEAST = Promise("at least 95%", _least(RUNS), 1.0)
EXACT = Promise("at least 95%", LEVEL, 1.0)
AT_MOST = Promise("at most 5%", 0.0, 1 - _least(RUNS))


def limit(low: float, high: float) -> Promise:
    """A known limitation: the measured rate as a range, so that a change is noticed."""
    return Promise("a limit, see there", low, high)


@dataclass(frozen=True)
class Simulation:
    """One simulation of an interval, or of a claim.

    interval: the quantity that it is of. conditions: the truth that is simulated. where: the code that makes the
    interval, whose docstring says more. widest: the largest width allowed, so that no interval keeps its promise by
    being too wide.
    """

    interval: str
    conditions: str
    where: str
    promise: Promise
    measure: Callable[[], Measured]
    widest: float = np.inf

    @property
    def is_claim(self) -> bool:
        """Whether the rate is an error rate, not a coverage."""
        return self.promise.low == 0

    def __str__(self) -> str:
        return f"{self.interval}, {self.conditions}"


def simulated(draw: Draw, truth: float | None = None, runs: int = RUNS, seed: int = 0) -> Callable[[], Measured]:
    """The coverage of the intervals (value, low, high, …) that `draw` computes from a new sample in each run.

    truth: the value that they should hold; by default the mean of the values over all runs, their expectation. A sample
    without a finite value does not count as a run.
    """

    def measure() -> Measured:
        rng = np.random.default_rng(seed)
        drawn = np.array([draw(rng)[:3] for _ in range(runs)], dtype=np.float64)
        value, low, high = drawn[np.isfinite(drawn[:, 0])].T
        aim = value.mean() if truth is None else truth
        slack = 1e-9 * max(1.0, abs(aim))  # for ends that equal the truth up to rounding
        held = (low <= aim + slack) & (aim - slack <= high)
        spread = value.std()
        wide = float((high - low).mean())
        width = wide / float(2 * ndtri(0.975) * spread) if spread > 0 and np.isfinite(wide) else np.nan
        return Measured(float(held.mean()), len(held), width)

    return measure


def seed_from(rng: np.random.Generator) -> int:
    """A new seed for an interval that draws random numbers."""
    return int(rng.integers(2**31))


def erring(errs: Callable[[np.random.Generator], bool], runs: int = RUNS, seed: int = 0) -> Callable[[], Measured]:
    """The share of runs in which `errs` returns true."""

    def measure() -> Measured:
        rng = np.random.default_rng(seed)
        return Measured(float(np.mean([errs(rng) for _ in range(runs)])), runs, np.nan)

    return measure


def simulations() -> list[Simulation]:
    """All simulations, in the order of the table."""
    from benchmarks.coverage import audits, claims, images, scores, splits

    return [*scores.SIMULATIONS, *audits.SIMULATIONS, *splits.SIMULATIONS, *images.SIMULATIONS, *claims.SIMULATIONS]
