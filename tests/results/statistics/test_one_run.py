"""The one-run audit: its formula, its ceilings, whom it guesses, and that it does not accuse the innocent."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from leakfront.errors import InputError
from leakfront.results.statistics.one_run import OneRun, ceiling, one_run_epsilon, p_value


def test_the_known_answers_are_met() -> None:
    assert one_run_epsilon(1000, 100, 75, 1e-4) == pytest.approx(0.673, abs=5e-4)
    start = time.perf_counter()
    assert one_run_epsilon(100_000, 1510, 1439, 1e-5) == pytest.approx(2.676, abs=5e-4)
    assert time.perf_counter() - start < 1  # seconds


@pytest.mark.parametrize(("guesses", "expected"), [(50, 2.76), (100, 3.47), (200, 4.17), (500, 5.09)])
def test_what_can_be_audited_at_most_with_a_thousand_coins(guesses: int, expected: float) -> None:
    assert ceiling(1000, guesses, 1e-5) == pytest.approx(expected, abs=5e-3)


def test_without_delta_and_with_all_right_the_ceiling_has_a_closed_form() -> None:
    q = 0.05 ** (1 / 40)  # P[Bin(40, q) = 40] = 0.05
    assert ceiling(100, 40, 0.0) == pytest.approx(math.log(q / (1 - q)), abs=2e-6)


@pytest.mark.parametrize("epsilon", [0.0, 0.4, 2.0, 6.0])
@pytest.mark.parametrize(
    ("m", "r", "v", "delta"), [(9, 7, 5, 0.01), (20, 12, 12, 0.0), (30, 6, 0, 0.1), (50, 9, 8, 1e-3)]
)
def test_the_p_value_is_the_formula_summed_over_all_outcomes(
    m: int, r: int, v: int, delta: float, epsilon: float
) -> None:
    q = 1 / (1 + math.exp(-epsilon))
    right = [0.0] * (r + 1)
    for outcome in itertools.product((0, 1), repeat=r):
        right[sum(outcome)] += math.prod(q if guess else 1 - q for guess in outcome)
    within = [sum(right[max(v - i, 0) : v]) / i for i in range(1, v + 1)]
    expected = min(1.0, sum(right[v:]) + 2 * m * delta * max(within, default=0.0))
    assert p_value(m, r, v, epsilon, delta) == pytest.approx(expected, rel=1e-10)


@settings(deadline=None)
@given(
    r=st.integers(1, 200),
    share=st.floats(0.5, 1),
    coins=st.integers(0, 2000),
    delta=st.one_of(st.just(0.0), st.floats(1e-8, 1e-2)),
)
def test_the_bound_is_where_the_p_value_crosses_the_level(r: int, share: float, coins: int, delta: float) -> None:
    m, v = r + coins, math.ceil(share * r)
    bound = one_run_epsilon(m, r, v, delta)
    for epsilon in np.linspace(0, bound - 2e-6, 20) if bound > 1e-3 else ():
        assert p_value(m, r, v, float(epsilon), delta) < 0.05
    for epsilon in np.linspace(bound + 2e-6, bound + 8, 20):
        assert p_value(m, r, v, float(epsilon), delta) >= 0.05


def test_the_bound_stays_accurate_where_the_right_answer_is_nearly_certain() -> None:
    r = 10**6  # all right: q = 0.05^(1/r), so 1 - q = -expm1(log(0.05) / r)
    wrong = -math.expm1(math.log(0.05) / r)
    assert ceiling(r, r, 0.0) == pytest.approx(math.log((1 - wrong) / wrong), abs=2e-6)


def test_guessing_by_chance_gives_no_bound() -> None:
    assert one_run_epsilon(1000, 100, 50, 1e-5) == 0
    assert one_run_epsilon(1000, 0, 0, 1e-5) == 0


@pytest.mark.parametrize(
    ("m", "r", "v", "delta", "p"), [(10, 11, 5, 0, 0.05), (10, 5, 6, 0, 0.05), (10, 5, 5, 2, 0.05), (10, 5, 5, 0, 0)]
)
def test_impossible_counts_are_refused(m: int, r: int, v: int, delta: float, p: float) -> None:
    with pytest.raises(ValueError, match="needs 0 <= v <= r <= m"):
        one_run_epsilon(m, r, v, delta, p)


def test_only_the_extremes_of_the_eligible_images_are_guessed() -> None:
    scores = np.arange(12.0)
    eligible = np.ones(12, dtype=bool)
    eligible[[0, 11]] = False  # a planted group at both ends
    members = np.zeros(12, dtype=bool)
    members[[9, 10]] = True  # the two highest eligible; 1 and 2 are the two lowest, and decoys
    bound = OneRun(guesses=4).bound(scores, members, eligible)
    assert (bound.coins, bound.guesses, bound.correct) == (10, 4, 4)
    members[1] = True
    assert OneRun(guesses=4).bound(scores, members, eligible).correct == 3
    members[[0, 11, 5, 6]] = True  # neither left-out nor abstained coins matter
    assert OneRun(guesses=4).bound(scores, members, eligible).correct == 3


def test_the_result_is_the_bound_of_its_own_counts() -> None:
    rng = np.random.default_rng(0)
    members = rng.random(400) < 0.5
    scores = rng.standard_normal(400) + members
    bound = OneRun(guesses=60, delta=1e-4).bound(scores, members, np.ones(400, dtype=bool))
    assert 45 < bound.correct < 60
    assert bound.epsilon == one_run_epsilon(400, 60, bound.correct, 1e-4)
    assert bound.ceiling == ceiling(400, 60, 1e-4)
    assert 0 < bound.epsilon < bound.ceiling


def test_trying_more_attacks_costs_confidence() -> None:
    members = np.repeat([False, True], 50)
    everyone = np.ones(100, dtype=bool)
    one = OneRun(guesses=40).bound(members * 1.0, members, everyone)
    ten = OneRun(guesses=40).bound(members * 1.0, members, everyone, corrections=10)
    assert ten.epsilon == ten.ceiling == pytest.approx(ceiling(100, 40, 1e-5, 0.005), abs=1e-5)
    assert ten.epsilon < one.epsilon


def test_tied_scores_do_not_look_at_the_coins() -> None:
    everyone = np.ones(1000, dtype=bool)
    sorted_coins = np.repeat([True, False], 500)  # breaking ties by position would be all right, or all wrong
    correct = [
        OneRun(guesses=200).bound(np.zeros(1000), coins, everyone).correct for coins in (sorted_coins, ~sorted_coins)
    ]
    assert sum(correct) == 200  # the same images are guessed, whatever their coins
    assert all(binom.ppf(1e-4, 200, 0.5) <= c <= binom.isf(1e-4, 200, 0.5) for c in correct)


def test_too_few_coins_are_refused_in_one_sentence() -> None:
    eligible = np.arange(50) < 30
    with pytest.raises(
        InputError, match="100 guesses need as many images with a coin of their own, and the pool has 30"
    ):
        OneRun().bound(np.zeros(50), np.zeros(50, dtype=bool), eligible)


def test_wrong_parameters_and_scores_are_refused() -> None:
    for wrong, says in (
        ({"guesses": 7}, "guesses is 7; it must be at least 2 and be a multiple of 2"),
        ({"guesses": 0}, "guesses is 0; it must be at least 2"),
        ({"delta": -1e-5}, "delta is -1e-05; it must be at least 0 and below 1"),
        ({"confidence": 1.0}, "confidence is 1.0; it must lie between 0 and 1"),
    ):
        with pytest.raises(InputError, match=rf"one_run\.{says}"):
            OneRun(**wrong)
    coins = np.repeat([False, True], 5)
    scores = np.zeros(10)
    scores[:3] = np.nan
    with pytest.raises(ValueError, match="3 of 10 eligible scores are not finite"):
        OneRun(guesses=2).bound(scores, coins, np.ones(10, dtype=bool))
    assert OneRun(guesses=2).bound(scores, coins, np.arange(10) > 2).coins == 7  # what is left out may be anything
    with pytest.raises(ValueError, match="must be bool"):
        OneRun(guesses=2).bound(np.zeros(10), np.arange(10), np.ones(10, dtype=bool))


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize(("m", "r", "delta"), [(200, 100, 0.0), (1000, 200, 1e-5), (1000, 50, 1e-3)])
def test_the_exact_chance_to_accuse_randomized_response_is_within_the_level(
    epsilon: float, m: int, r: int, delta: float
) -> None:
    """Under it the number of right guesses is Bin(r, q), so that chance is a sum over the counts that accuse it."""
    right = binom.pmf(np.arange(r + 1), r, 1 / (1 + math.exp(-epsilon)))
    accuses = np.array([one_run_epsilon(m, r, v, delta) > epsilon for v in range(r + 1)])
    assert right[accuses].sum() <= 0.05
    assert right[accuses].sum() > 0.02 or m * delta > 0.1 or epsilon > 2  # not safe by being idle
