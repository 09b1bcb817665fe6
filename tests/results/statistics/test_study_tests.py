"""The tests of studies: against closed forms and enumerations, and how often they err where nothing is to be found."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from leakfront.results.statistics.equivalence import equivalence_p_value
from leakfront.results.statistics.estimate import Estimate
from leakfront.results.statistics.expectation import by_interval, by_p_values
from leakfront.results.statistics.permutation import permutation_p_values
from leakfront.results.statistics.trend import trend_p_values

# Equivalence


def test_equivalence_is_the_90_percent_interval_within_the_margin() -> None:
    differences = np.array([0.1, -0.2, 0.3, 0.05, 0.0])
    mean, error = differences.mean(), differences.std(ddof=1) / math.sqrt(5)
    end = mean + stats.t.ppf(0.95, 4) * error
    assert equivalence_p_value(differences, end * 1.0001) < 0.05 < equivalence_p_value(differences, end * 0.9999)


def test_equivalence_errs_in_five_percent_at_the_margin() -> None:
    rng = np.random.default_rng(1)
    claimed = [equivalence_p_value(rng.normal(1.0, 0.3, 5), 1.0) < 0.05 for _ in range(1_500)]
    assert 0.035 < np.mean(claimed) < 0.065


@pytest.mark.parametrize("differences", [[0.1], [0.2, 0.2, 0.2], [math.nan, 0.1]])
def test_no_equivalence_without_a_spread(differences: list[float]) -> None:
    assert math.isnan(equivalence_p_value(differences, 1.0))


def test_a_margin_is_above_zero() -> None:
    with pytest.raises(ValueError, match="above 0"):
        equivalence_p_value([0.1, 0.2], 0.0)


# Trend


def test_trend_is_the_share_of_orders_with_as_large_an_l() -> None:
    table = np.array([[0.1, 0.4, 0.3], [2.0, 2.5, 3.0]])

    def total(rows: tuple[tuple[int, ...], ...]) -> int:
        return sum(rank * (setting + 1) for row in rows for setting, rank in enumerate(row))

    ranks = tuple(tuple(int(rank) for rank in stats.rankdata(row)) for row in table)
    every = [total(rows) for rows in itertools.product(itertools.permutations((1, 2, 3)), repeat=2)]
    rise, fall = trend_p_values(table)
    assert rise == pytest.approx(np.mean([value >= total(ranks) for value in every]))
    assert fall == pytest.approx(np.mean([value <= total(ranks) for value in every]))


def test_trend_errs_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    p = [trend_p_values(rng.normal(size=(5, 5)) + rng.normal(size=(5, 1)))[0] for _ in range(2_000)]
    assert 0.035 < np.mean(np.array(p) < 0.05) <= 0.06


def test_trend_leaves_out_splits_that_lack_a_value_and_needs_two() -> None:
    table = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 4.0], [3.0, math.nan, 1.0]])
    assert trend_p_values(table) == trend_p_values(table[:2])
    assert all(math.isnan(p) for p in trend_p_values(table[1:]))
    with pytest.raises(ValueError, match="dimensions"):
        trend_p_values(np.zeros(3))


# Permutation


def test_permutation_agrees_with_all_orders() -> None:
    scores, levels = np.array([0.3, 0.1, 0.9, 0.5, 0.2]), np.array([1.0, 1.0, 4.0, 2.0, 2.0])
    every = [float(scores @ np.array(order)) for order in itertools.permutations(levels)]
    exact = np.mean(np.array(every) >= scores @ levels - 1e-12)
    rise, _ = permutation_p_values(scores, levels, np.zeros(5, int), draws=40_000)
    assert rise == pytest.approx(exact, abs=0.01)


def test_permutation_keeps_to_strata() -> None:
    """Scores that differ between splits alone: levels that differ between splits alone explain nothing."""
    strata = np.repeat([0, 1], 20)
    scores, levels = strata * 5.0, strata * 3.0
    assert permutation_p_values(scores, levels, strata) == (1.0, 1.0)


def test_permutation_errs_as_often_as_it_says_and_finds_an_effect() -> None:
    rng = np.random.default_rng(3)
    strata = np.repeat([0, 1, 2], 12)
    levels = np.tile(np.repeat([0.0, 1.0, 2.0], 4), 3)

    def p(effect: float) -> float:
        scores = rng.standard_t(2, len(levels)) + strata + effect * levels
        return permutation_p_values(scores, rng.permuted(levels) if not effect else levels, strata, draws=199)[0]

    nothing = [p(0.0) <= 0.05 for _ in range(1_500)]
    assert 0.035 < np.mean(nothing) < 0.065
    assert np.mean([p(1.5) <= 0.05 for _ in range(100)]) > 0.8


@pytest.mark.parametrize(
    ("scores", "draws", "message"),
    [([1.0], 10, "strata"), ([1.0, math.nan], 10, "finite"), ([1.0, 2.0], 0, "at least 1")],
)
def test_permutation_refuses(scores: list[float], draws: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        permutation_p_values(np.array(scores), np.array([1.0, 2.0]), np.array([0, 0]), draws)


# Expectations


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        (6, 9, "agrees"), (4, 9, "not resolved at this size"), (-3, -1, "disagrees"),
        (1, 4, "not resolved at this size"), (math.nan, math.nan, "not resolved at this size"),
    ],
)  # fmt: skip
def test_an_interval_answers(low: float, high: float, answer: str) -> None:
    effect = Estimate((low + high) / 2, low, high, "")
    assert by_interval(effect, "above", 5) == answer
    assert by_interval(Estimate(-effect.value, -high, -low, ""), "below", -5) == answer


def test_a_margin_lies_on_the_expected_side() -> None:
    with pytest.raises(ValueError, match="side of 0"):
        by_interval(Estimate(1, 0, 2, ""), "above", -1)


def test_p_values_answer() -> None:
    assert by_p_values(0.001, 0.999) == "agrees"
    assert by_p_values(0.999, 0.001) == "disagrees"
    assert by_p_values(0.02, 0.98) == by_p_values(math.nan, math.nan) == "not resolved at this size"
