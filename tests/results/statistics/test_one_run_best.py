"""The best of several audits that were fixed beforehand."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from leakfront.results.statistics.one_run import OneRun, one_run_epsilon
from leakfront.results.statistics.one_run_best import Guessed, best_bound, tighter_epsilon
from leakfront.results.statistics.one_run_f_dp import one_run_epsilon_f_dp


def test_one_outcome_is_the_plain_audit() -> None:
    members = np.arange(400) % 2 == 0
    scores = members + np.random.default_rng(0).standard_normal(400)
    bound = OneRun(guesses=60).bound(scores, members, np.ones(400, bool), corrections=3)
    best = best_bound([Guessed(400, 60, bound.correct)], 1e-5, attacks=3, bound=one_run_epsilon)
    assert (best.epsilon, best.ceiling) == (bound.epsilon, bound.ceiling)
    assert not best.saturated


def test_the_larger_bound_counts_at_a_level_corrected_for_all() -> None:
    few, many = Guessed(576, 100, 100), Guessed(576, 192, 150)
    best = best_bound([few, many], 1e-5, attacks=4)
    assert best.epsilon == tighter_epsilon(576, 100, 100, 1e-5, 0.05 / 8)
    assert best.outcome == few
    assert best.saturated
    assert best.ceiling == tighter_epsilon(576, 192, 192, 1e-5, 0.05 / 8) > best.epsilon  # what more could have proven
    assert best_bound([few, Guessed(576, 192, 191)], 1e-5).saturated is False
    assert best_bound([few, Guessed(576, 192, 192)], 1e-5).outcome.guesses == 192


def test_of_two_bounds_on_one_probability_the_tighter_counts() -> None:
    assert tighter_epsilon(1000, 100, 75, 1e-5) == one_run_epsilon(1000, 100, 75, 1e-5)
    many_attacks = 0.05 / 132
    assert one_run_epsilon(576, 100, 100, 1e-5, many_attacks) < 1.3
    assert tighter_epsilon(576, 100, 100, 1e-5, many_attacks) > 2.4


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 2.0, 4.0])
@pytest.mark.parametrize(("m", "r", "delta", "level"), [(200, 100, 0.0, 0.05), (1000, 100, 1e-5, 0.05 / 66)])
def test_the_exact_chance_to_accuse_randomized_response_is_within_the_level(
    epsilon: float, m: int, r: int, delta: float, level: float
) -> None:
    right = binom.pmf(np.arange(r + 1), r, 1 / (1 + math.exp(-epsilon)))
    accuses = np.array([tighter_epsilon(m, r, v, delta, level) > epsilon for v in range(r + 1)])
    assert right[accuses].sum() <= level


def test_another_bound_may_prefer_another_number_of_guesses() -> None:
    outcomes = [Guessed(576, 100, 93), Guessed(576, 192, 174)]
    assert best_bound(outcomes, 1e-5).outcome.guesses == 100
    f_dp = best_bound(outcomes, 1e-5, bound=one_run_epsilon_f_dp)
    assert f_dp.outcome.guesses == 192
    assert f_dp.epsilon == one_run_epsilon_f_dp(576, 192, 174, 1e-5, 0.025)


@pytest.mark.parametrize("right", [50, 40])
def test_nothing_is_proven_by_chance(right: int) -> None:
    best = best_bound([Guessed(576, 100, right), Guessed(576, 192, 96)], 1e-5)
    assert best.epsilon == 0
    assert not best.saturated
