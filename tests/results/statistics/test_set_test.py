"""The test of whole sets: its p-value, its false alarms, its power, and what it refuses."""

import numpy as np
import pytest
from scipy.stats import t as student

from leakfront.results.statistics.set_test import set_power, welch_p_values


@pytest.mark.parametrize(("a", "b", "shift", "spread"), [(10, 10, 0.0, 1.0), (20, 50, 0.7, 3.0), (100, 12, -0.4, 0.2)])
def test_the_p_value_is_welchs(a: int, b: int, shift: float, spread: float) -> None:
    rng = np.random.default_rng(a)
    x, y = shift + spread * rng.standard_normal(a), rng.standard_normal(b)
    u, w = x.var(ddof=1) / a, y.var(ddof=1) / b
    freedom = (u + w) ** 2 / (u**2 / (a - 1) + w**2 / (b - 1))
    expected = student.sf((x.mean() - y.mean()) / np.sqrt(u + w), freedom)
    assert welch_p_values(x[None], y[None]) == pytest.approx([expected], rel=1e-9)


def test_scores_that_do_not_vary_are_compared_as_they_are() -> None:
    ones, zeros, varied = np.ones(5), np.zeros(5), np.arange(5.0)
    found = welch_p_values(np.stack([ones, zeros, ones, varied]), np.stack([zeros, ones, ones, varied]))
    assert found == pytest.approx([0, 1, 1, 0.5])


@pytest.mark.parametrize("of_decoys", [False, True])
def test_sets_like_the_decoys_are_detected_as_often_as_the_level_says(of_decoys: bool) -> None:
    shares = []
    for seed in range(300):  # sets of one model overlap, those of different models do not
        rng = np.random.default_rng(seed)
        scores, members = rng.standard_normal(120), np.arange(120) < 60
        if of_decoys:
            scores[members] += 3  # members play no part
        shares.append(set_power(scores, members, 20, seed, sets=20, of_decoys=of_decoys).detected)
    error = np.std(shares, ddof=1) / np.sqrt(len(shares))
    assert error < 0.006
    assert abs(np.mean(shares) - 0.05) < 4 * error


def test_power_grows_with_the_size_of_the_set() -> None:
    rng = np.random.default_rng(0)
    members = np.arange(1000) < 500
    scores = rng.standard_normal(1000) + 0.5 * members
    powers = [set_power(scores, members, size, seed=0) for size in (5, 20, 60, 200)]
    detected, median = [p.detected for p in powers], [p.median_p for p in powers]
    assert detected == sorted(detected)
    assert median == sorted(median, reverse=True)
    assert detected[0] < 0.5 < 0.99 < detected[-1]
    for power in powers:
        assert 0 <= power.quartiles[0] <= power.median_p <= power.quartiles[1] <= 1


def test_separated_scores_are_detected_always_and_reversed_ones_never() -> None:
    members = np.arange(60) < 30
    assert set_power(members * 1.0, members, 10, seed=0).detected == 1
    assert set_power(-1.0 * members, members, 10, seed=0).detected == 0


def test_the_same_seed_draws_the_same_sets() -> None:
    scores, members = np.random.default_rng(0).standard_normal(100), np.arange(100) < 50
    assert set_power(scores, members, 10, seed=1) == set_power(scores, members, 10, seed=1)
    assert set_power(scores, members, 10, seed=1) != set_power(scores, members, 10, seed=2)
    assert set_power(scores, members, 10, seed=1, sets=7).sets == 7


@pytest.mark.parametrize(("inside", "outside", "size"), [(9, 40, 10), (40, 19, 10), (40, 40, 1), (40, 40, 0)])
def test_impossible_sizes_are_refused(inside: int, outside: int, size: int) -> None:
    members = np.arange(inside + outside) < inside
    with pytest.raises(ValueError, match=f"sets of {size}"):
        set_power(np.zeros(len(members)), members, size, seed=0)


def test_the_largest_possible_size_is_accepted() -> None:
    members = np.arange(30) < 10
    assert set_power(members * 1.0, members, 10, seed=0, sets=3).sets == 3
