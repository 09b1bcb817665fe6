"""Lower bounds on epsilon by the audits, from scores and coins of one model, or of many models of one canary."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import exp

import numpy as np
from scipy.stats import binom, norm

from benchmarks.coverage import AT_LEAST, EXACT, Draw, Measured, Simulation, simulated
from leakfront.results.statistics.many_run import many_run_epsilon
from leakfront.results.statistics.one_run import OneRun, one_run_epsilon
from leakfront.results.statistics.one_run_best import Bound, Guessed, best_bound, tighter_epsilon
from leakfront.results.statistics.one_run_f_dp import gaussian_epsilon, one_run_epsilon_f_dp

Mechanism = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # from coins to a score for each


def _audit(coins: int, guesses: int, epsilon: float, delta: float, level: float = 0.05) -> Callable[[], Measured]:
    """Randomized response, the worst case: a guess is right with probability 1 / (1 + e^-epsilon)."""

    def measure() -> Measured:
        chance = binom.pmf(np.arange(guesses + 1), guesses, 1 / (1 + exp(-epsilon)))
        bounds = np.array([one_run_epsilon(coins, guesses, v, delta, level) for v in range(guesses + 1)])
        return Measured(float(chance[bounds <= epsilon].sum()), 0, np.nan)

    return measure


def noisy_audit(coins: int, guesses: int, epsilon: float) -> Draw:
    """The bound from real-valued scores, as attacks give them: randomized response plus noise."""
    audit, everyone = OneRun(guesses=guesses), np.ones(coins, dtype=np.bool_)

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        members = rng.random(coins) < 0.5
        answers = members ^ (rng.random(coins) < 1 / (1 + exp(epsilon)))
        bound = audit.bound(answers + 0.2 * rng.standard_normal(coins), members, everyone).epsilon
        return bound, bound, np.inf

    return draw


def _best_audit(coins: int, numbers: tuple[int, ...], scores: Mechanism, bound: Bound) -> Draw:
    """The best bound over numbers of guesses, from the scores that a mechanism gives to coins."""
    everyone, bound = np.ones(coins, dtype=np.bool_), cache(bound)

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        members = rng.random(coins) < 0.5
        answers = scores(members, rng)
        outcomes = [Guessed(coins, r, OneRun(guesses=r).guess(answers, members, everyone)[1]) for r in numbers]
        best = best_bound(outcomes, 1e-5, bound=bound).epsilon
        return best, best, np.inf

    return draw


def _responses(epsilon: float) -> Mechanism:
    """Randomized response to each coin, plus noise."""

    def scores(members: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return (members ^ (rng.random(len(members)) < 1 / (1 + exp(epsilon)))) + 0.2 * rng.standard_normal(len(members))

    return scores


def _gaussian(mu: float) -> Mechanism:
    """The Gaussian mechanism on canaries in directions of their own, with noise 1 / mu: exactly mu-GDP."""
    return lambda members, rng: mu * members + rng.standard_normal(len(members))


def _audit_of_all(coins: int, mu: float) -> Callable[[], Measured]:
    """The Gaussian mechanism when every coin is guessed, rightly with probability Phi(mu / 2)."""

    def measure() -> Measured:
        chance = binom.pmf(np.arange(coins + 1), coins, norm.cdf(mu / 2))
        bounds = np.array([one_run_epsilon_f_dp(coins, coins, v, 1e-5) for v in range(coins + 1)])
        return Measured(float(chance[bounds <= gaussian_epsilon(mu, 1e-5)].sum()), 0, np.nan)

    return measure


def _many_runs(splits: int, epsilon: float) -> Draw:
    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        members = rng.random(splits) < 0.5
        guesses = members ^ (rng.random(splits) < 1 / (1 + exp(epsilon)))
        bound = many_run_epsilon(guesses, members, 1e-5).epsilon
        return bound, bound, np.inf

    return draw


_AUDIT, _MANY = "`one_run_epsilon`, leakfront/results/statistics/one_run.py", "leakfront/results/statistics/many_run.py"
_BEST = "`best_bound`, leakfront/results/statistics/one_run_best.py"
_F_DP = "`one_run_epsilon_f_dp`, leakfront/results/statistics/one_run_f_dp.py"
SIMULATIONS = [
    *(
        Simulation("audited epsilon", f"one run, true epsilon {epsilon:g}, {guesses} guesses of {coins} coins",
                   _AUDIT, EXACT, _audit(coins, guesses, epsilon, 1e-5))
        for coins, guesses, epsilon in ((320, 100, 0.5), (320, 100, 2.0), (640, 100, 1.0))
    ),
    Simulation("audited epsilon", "one run, true epsilon 1, noise added to the answers", _AUDIT, AT_LEAST,
               simulated(noisy_audit(320, 100, 1.0), 1.0)),
    *(
        Simulation("audited epsilon",
                   f"one run, true epsilon {epsilon:g}, the better of 100 and 192 guesses of 576 coins",
                   _BEST, AT_LEAST,
                   simulated(_best_audit(576, (100, 192), _responses(epsilon), tighter_epsilon), epsilon))
        for epsilon in (0.5, 2.0)
    ),
    Simulation("audited epsilon of a Gaussian mechanism", "one run, mu = 0.25, all of 320 coins are guessed", _F_DP,
               EXACT, _audit_of_all(320, 0.25)),
    *(
        Simulation("audited epsilon of a Gaussian mechanism",
                   f"one run, mu = {mu:g}, the better of 100 and 192 guesses of 576 coins", _F_DP, AT_LEAST,
                   simulated(_best_audit(576, (100, 192), _gaussian(mu), one_run_epsilon_f_dp),
                             gaussian_epsilon(mu, 1e-5)))
        for mu in (0.25, 1.5)
    ),
    *(
        Simulation("audited epsilon", f"{splits} runs of one canary, true epsilon {epsilon:g}",
                   f"`many_run_epsilon`, {_MANY}", AT_LEAST, simulated(_many_runs(splits, epsilon), epsilon))
        for splits, epsilon in ((3, 0.5), (30, 1.0))
    ),
]  # fmt: skip
