"""The audit by many runs: its formula, its ceiling, its guesses, and that it does not accuse the innocent."""

import math

import numpy as np
import pytest
from scipy.stats import beta

from leakfront.results.statistics.many_run import guess, many_run_epsilon


def audit(found: int, inside: int, accused: int, outside: int, **settings: float):
    """The bound from counts."""
    members = np.arange(inside + outside) < inside
    guesses = np.concatenate([np.arange(inside) < found, np.arange(outside) < accused])
    return many_run_epsilon(guesses, members, **{"delta": 0.0, **settings})


def transcription(found: int, inside: int, accused: int, outside: int, delta: float, confidence: float) -> float:
    """By scipy's beta quantiles, the four rates bounded one by one."""
    level = (1 - confidence) / 2

    def low(k: int, n: int) -> float:
        return beta.ppf(level, k, n - k + 1) if k else 0.0

    def high(k: int, n: int) -> float:
        return beta.isf(level, k + 1, n - k) if k < n else 1.0

    tpr, fpr = low(found, inside), high(accused, outside)
    tnr, fnr = low(outside - accused, outside), high(inside - found, inside)
    return max(0.0, math.log(max(tpr - delta, 1e-300) / fpr), math.log(max(tnr - delta, 1e-300) / fnr))


@pytest.mark.parametrize("counts", [(500, 500, 0, 500), (480, 510, 30, 490), (90, 100, 2, 90), (3, 9, 0, 8)])
@pytest.mark.parametrize("delta", [0.0, 1e-5, 0.05])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_bound_is_the_formula(counts: tuple[int, int, int, int], delta: float, confidence: float) -> None:
    expected = transcription(*counts, delta, confidence)
    assert audit(*counts, delta=delta, confidence=confidence).epsilon == pytest.approx(expected, abs=1e-9)


def test_a_thousand_right_guesses_have_a_closed_form() -> None:
    bound = audit(500, 500, 0, 500)
    lowest = 0.025 ** (1 / 500)  # P[Bin(500, lowest) = 500] = 0.025
    assert bound.epsilon == bound.ceiling == pytest.approx(math.log(lowest / (1 - lowest)), abs=1e-9)
    assert bound.runs == 1000


def test_either_direction_may_give_the_bound() -> None:
    few_accused, few_missed = audit(300, 500, 2, 500), audit(498, 500, 200, 500)
    assert few_accused.epsilon == pytest.approx(few_missed.epsilon, abs=1e-9)  # each other's mirror image
    assert few_accused.epsilon > 2


def test_more_delta_or_confidence_leave_less_to_prove() -> None:
    plain = audit(90, 100, 5, 100).epsilon
    assert audit(90, 100, 5, 100, delta=0.1).epsilon < plain
    assert audit(90, 100, 5, 100, confidence=0.99).epsilon < plain
    assert audit(100, 100, 0, 100, delta=0.1).ceiling < audit(100, 100, 0, 100).ceiling


def test_nothing_follows_from_chance_from_contrary_guesses_or_from_coins_of_one_side() -> None:
    for counts in ((50, 100, 50, 100), (0, 100, 100, 100), (10, 10, 0, 0), (0, 0, 0, 10), (0, 0, 0, 0)):
        assert audit(*counts).epsilon == 0
    assert audit(10, 10, 0, 0).ceiling == 0


def test_a_guess_is_a_comparison_with_the_median_of_the_eligible() -> None:
    scores, eligible = np.array([1.0, 2.0, 3.0, 100.0, 101.0]), np.array([True, True, True, False, False])
    assert [guess(scores, canary, eligible) for canary in range(5)] == [False, False, True, True, True]
    assert not guess(np.zeros(4), 0, np.ones(4, bool))
    for wrong in (np.zeros(5, bool), np.ones(4, bool), np.ones(5)):
        with pytest.raises(ValueError, match="eligible"):
            guess(scores, 0, wrong)


def test_impossible_input_is_refused() -> None:
    coins = np.ones(4, bool)
    with pytest.raises(ValueError, match="one length"):
        many_run_epsilon(coins, coins[:3], 0.0)
    with pytest.raises(ValueError, match="must be bool"):
        many_run_epsilon(coins.astype(int), coins, 0.0)
    for settings in ({"delta": -0.1}, {"delta": 1.0}, {"delta": 0.0, "confidence": 1.0}):
        with pytest.raises(ValueError, match="needs delta"):
            many_run_epsilon(coins, coins, **settings)


def randomized_response(runs: int, epsilon: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Guesses and coins: each coin is told rightly with probability e^eps / (1 + e^eps), which is exactly eps-DP."""
    members = rng.random(runs) < 0.5
    return members ^ (rng.random(runs) < 1 / (1 + math.exp(epsilon))), members


@pytest.mark.parametrize("runs", [60, 400])
def test_randomized_response_is_not_accused_of_more_than_its_epsilon(runs: int) -> None:
    rng = np.random.default_rng(0)
    bounds = [many_run_epsilon(*randomized_response(runs, 1.0, rng), 0.0).epsilon for _ in range(500)]
    assert np.mean(np.array(bounds) <= 1) >= 0.95
    assert np.median(bounds) > (0.05 if runs == 60 else 0.5)


def test_with_many_runs_the_bound_approaches_the_truth() -> None:
    bound = many_run_epsilon(*randomized_response(1_000_000, 1.0, np.random.default_rng(1)), 0.0)
    assert 0.985 < bound.epsilon <= 1
