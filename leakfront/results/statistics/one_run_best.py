"""The best of several one-run audits that were fixed beforehand: numbers of guesses, attacks, splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from leakfront.results.statistics.one_run import one_run_epsilon
from leakfront.results.statistics.one_run_f_dp import one_run_epsilon_by_curve

Bound = Callable[[int, int, int, float, float], float]  # of coins, guesses, right guesses, delta and level


class Guessed(NamedTuple):
    """The outcome of one number of guesses about one model: coins m, guesses r, right v."""

    coins: int
    guesses: int
    right: int


class BestBound(NamedTuple):
    """epsilon: the largest of the bounds, and the outcome behind it. ceiling: the most that any of them could prove."""

    epsilon: float
    ceiling: float
    outcome: Guessed

    @property
    def saturated(self) -> bool:
        """Whether every guess behind the bound was right, so that more guesses might have proven more."""
        return self.outcome.right == self.outcome.guesses


def tighter_epsilon(m: int, r: int, v: int, delta: float, p: float = 0.05) -> float:
    """The larger of the two bounds for (epsilon, delta)-DP, `one_run_epsilon` and `one_run_epsilon_by_curve`.

    Both rest on an upper bound on the same probability, that of v or more right guesses. The smaller of the two is one,
    too, so that taking the larger epsilon needs no correction. Arguments and errors are those of either.
    """
    return max(one_run_epsilon(m, r, v, delta, p), one_run_epsilon_by_curve(m, r, v, delta, p))


def best_bound(
    outcomes: Sequence[Guessed], delta: float, attacks: int = 1, bound: Bound = tighter_epsilon
) -> BestBound:
    """The largest lower bound on epsilon among several outcomes of each of `attacks` attacks, at 95% confidence.

    Each is computed at level 0.05 / (attacks x outcomes) (Bonferroni), so that the best over all attacks and outcomes
    keeps 95%, however they depend on each other. bound: `tighter_epsilon`, or another with its arguments.
    """
    level = 0.05 / (attacks * len(outcomes))
    bounds = [(bound(*outcome, delta, level), outcome) for outcome in outcomes]
    epsilon, outcome = max(bounds, key=lambda pair: (pair[0], pair[1].right == pair[1].guesses))
    return BestBound(epsilon, max(_ceiling(bound, m, r, delta, level) for m, r, _ in outcomes), outcome)


@cache  # the same for every attack and split
def _ceiling(bound: Bound, m: int, r: int, delta: float, level: float) -> float:
    return bound(m, r, r, delta, level)
