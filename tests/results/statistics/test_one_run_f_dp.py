"""The audit by trade-off curves: its recursion against a linear program, and that it accuses no innocent."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.stats import norm

from leakfront.results.statistics.one_run import OneRun, one_run_epsilon
from leakfront.results.statistics.one_run_f_dp import (
    Curve,
    dp_curve,
    gaussian_curve,
    gaussian_epsilon,
    gaussian_mu,
    one_run_epsilon_by_curve,
    one_run_epsilon_f_dp,
    too_unlikely,
)


def likeliest(m: int, r: int, v: int, curve: Curve) -> float:
    """The largest P[v or more right] that a curve allows, by a linear program over the probabilities of 0 … r right.

    The curve is replaced by 600 of its tangents, which allow a little more if it is not made of straight lines.
    """
    at = norm.cdf(np.linspace(-5, 4, 600))  # where the tangents touch, as probabilities of right guesses
    value = np.array([curve(y) for y in at])
    slope = (value - np.array([curve(y * (1 - 1e-6)) for y in at])) / (1e-6 * at)
    rows, limits = [], []
    counts = np.arange(r + 1)
    for i in range(r):
        right, wrong = np.where(counts > i, counts, 0) / m, np.where(counts >= i, r - counts, 0) / m
        rows.append(slope[:, None] * right - wrong)  # wrong >= value + slope (right - at)
        limits.append(slope * at - value)
    solved = linprog(-(counts >= v).astype(float), np.concatenate(rows), np.concatenate(limits), np.ones((1, r + 1)), 1)
    assert solved.success
    return float(-solved.fun)


@pytest.mark.parametrize(
    ("m", "r", "v", "curve"),
    [
        (6, 6, 6, gaussian_curve(0.2)),
        (6, 6, 6, gaussian_curve(1.0)),
        (10, 4, 4, gaussian_curve(0.5)),
        (30, 10, 10, gaussian_curve(1.0)),
        (40, 20, 18, gaussian_curve(0.7)),
        (6, 6, 6, dp_curve(1.0, 0.0)),
        (30, 10, 9, dp_curve(0.5, 1e-3)),
        (40, 20, 19, dp_curve(1.0, 1e-2)),
    ],
)
def test_the_recursion_finds_what_a_linear_program_finds(m: int, r: int, v: int, curve: Curve) -> None:
    most = likeliest(m, r, v, curve)
    assert 0.01 < most < 0.9
    assert too_unlikely(m, r, v, curve, 1.01 * most)
    assert not too_unlikely(m, r, v, curve, 0.99 * most)


def test_without_delta_and_with_all_right_randomized_response_is_the_worst_of_all() -> None:
    assert one_run_epsilon_by_curve(100, 40, 40, 0.0) == pytest.approx(one_run_epsilon(100, 40, 40, 0.0), abs=3e-6)


def test_delta_costs_less_than_in_the_bound_by_steinke_and_others() -> None:
    assert 0 < one_run_epsilon(1000, 100, 75, 1e-5) - one_run_epsilon_by_curve(1000, 100, 75, 1e-5) < 0.02
    level = 0.05 / 66  # of 22 attacks on 3 models
    assert one_run_epsilon(3900, 100, 100, 1e-5, level) == 0
    assert one_run_epsilon_by_curve(3900, 100, 100, 1e-5, level) > 2.4


@pytest.mark.parametrize(
    ("m", "r", "v", "delta", "p", "mu", "epsilon"),
    [
        (1000, 800, 500, 1e-6, 0.05, 0.201048, 0.8392),
        (576, 100, 75, 1e-5, 0.05, 0.291207, 1.0956),
        (576, 100, 100, 1e-5, 0.05, 1.308234, 5.9937),
        (576, 192, 172, 1e-5, 0.0125, 0.618245, 2.5291),
        (1000, 332, 332, 1e-5, 0.025, 1.641202, 7.8568),
        (100_000, 1500, 1439, 1e-5, 0.05, 0.819405, 3.4813),
    ],
)
def test_it_agrees_with_the_authors_code(
    m: int, r: int, v: int, delta: float, p: float, mu: float, epsilon: float
) -> None:
    """PrivacyGuard's FDPAnalysisNode, with bisection in place of its grid; it rounds epsilon up by at most 0.001."""
    assert gaussian_mu(m, r, v, p) == pytest.approx(mu, abs=2e-6)
    assert one_run_epsilon_f_dp(m, r, v, delta, p) == pytest.approx(epsilon - 5e-4, abs=6e-4)


def test_the_epsilon_of_a_gaussian_mechanism_is_that_of_its_tails() -> None:
    assert gaussian_epsilon(1.0, 0.126936737507) == pytest.approx(1.0, abs=2e-6)
    assert gaussian_epsilon(4.0, norm.cdf(2) - norm.cdf(-2)) == pytest.approx(0.0, abs=2e-6)  # the total variation
    for mu in (0.2, 1.0, 8.0, 25.0):
        epsilon = gaussian_epsilon(mu, 1e-5)
        threshold = epsilon / mu + mu / 2  # where one density is e^epsilon times the other
        found = norm.sf(threshold, loc=mu) - math.exp(epsilon + norm.logsf(threshold))
        assert found == pytest.approx(1e-5, rel=1e-3)


def test_there_is_no_epsilon_without_separation() -> None:
    assert gaussian_epsilon(0.0, 1e-5) == gaussian_epsilon(1e-9, 1e-5) == gaussian_epsilon(0.5, 1.0) == 0


@settings(deadline=None)
@given(r=st.integers(1, 150), share=st.floats(0.5, 1), more=st.integers(0, 1000), p=st.sampled_from([0.05, 0.001]))
def test_the_bound_is_where_the_rejection_ends(r: int, share: float, more: int, p: float) -> None:
    m, v = r + more, math.ceil(share * r)
    for bound, curve in (
        (gaussian_mu(m, r, v, p), gaussian_curve),
        (one_run_epsilon_by_curve(m, r, v, 1e-5, p), lambda epsilon: dp_curve(epsilon, 1e-5)),
    ):
        for x in np.linspace(0, bound - 2e-6, 5) if bound > 1e-3 else ():
            assert too_unlikely(m, r, v, curve(float(x)), p)
        for x in np.linspace(bound + 2e-6, bound + 4, 5):
            assert not too_unlikely(m, r, v, curve(float(x)), p)
    assert v == 0 or gaussian_mu(m, r, v - 1, p) <= gaussian_mu(m, r, v, p)


def test_guessing_by_chance_gives_no_bound() -> None:
    assert gaussian_mu(1000, 100, 50) == gaussian_mu(1000, 100, 0) == gaussian_mu(1000, 0, 0) == 0
    assert one_run_epsilon_f_dp(1000, 100, 50, 1e-5) == one_run_epsilon_by_curve(1000, 100, 50, 1e-5) == 0


def test_impossible_arguments_are_refused() -> None:
    for m, r, v, p in ((10, 11, 5, 0.05), (10, 5, 6, 0.05), (10, 5, -1, 0.05), (10, 5, 5, 0.0)):
        with pytest.raises(ValueError, match="needs 0 <= v <= r <= m"):
            gaussian_mu(m, r, v, p)
        with pytest.raises(ValueError, match="needs 0 <= v <= r <= m"):
            one_run_epsilon_by_curve(m, r, v, 1e-5, p)
    with pytest.raises(ValueError, match="needs delta"):
        one_run_epsilon_f_dp(10, 5, 5, 0.0)


@pytest.mark.parametrize("mu", [0.5, 1.5])
def test_a_gaussian_mechanism_is_not_accused_and_more_is_proven_than_without_its_curve(mu: float) -> None:
    rng, audit, everyone = np.random.default_rng(0), OneRun(guesses=100), np.ones(576, bool)
    pairs = []
    for _ in range(100):
        members = rng.random(576) < 0.5
        _, right = audit.guess(rng.standard_normal(576) + mu * members, members, everyone)
        pairs.append((one_run_epsilon(576, 100, right, 1e-5), one_run_epsilon_f_dp(576, 100, right, 1e-5)))
    plain, f_dp = np.array(pairs).T
    assert (f_dp <= gaussian_epsilon(mu, 1e-5)).all()
    assert 1.4 * np.mean(plain) < np.mean(f_dp)


def test_a_mechanism_with_another_curve_may_be_accused() -> None:
    """Randomized response is epsilon-DP, and right as often as that allows: the bound is none on its epsilon."""
    right = round(576 / (1 + math.exp(-1.0)))
    assert one_run_epsilon(576, 576, right, 1e-5) < 1.0 < one_run_epsilon_f_dp(576, 576, right, 1e-5)
