"""The best of several one-run audits that were fixed beforehand: numbers of guesses, attacks, splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from leakfront.results.statistics.one_run import one_run_epsilon

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


def best_bound(
    outcomes: Sequence[Guessed], delta: float, attacks: int = 1, bound: Bound = one_run_epsilon
) -> BestBound:
    """The largest lower bound on epsilon among several outcomes of each of `attacks` attacks, at 95% confidence.

    Each is computed at level 0.05 / (attacks x outcomes) (Bonferroni), so that the best over all attacks and outcomes
    keeps 95%, however they depend on each other. bound: `one_run.one_run_epsilon`, or another with its arguments.
    """
    level = 0.05 / (attacks * len(outcomes))
    bounds = [(bound(*outcome, delta, level), outcome) for outcome in outcomes]
    epsilon, outcome = max(bounds, key=lambda pair: (pair[0], pair[1].right == pair[1].guesses))
    return BestBound(epsilon, max(bound(m, r, r, delta, level) for m, r, _ in outcomes), outcome)
