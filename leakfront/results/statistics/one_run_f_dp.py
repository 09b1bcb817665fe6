"""The one-run audit by trade-off curves: a second bound for (epsilon, delta)-DP, and one for Gaussian mechanisms.

Source: Mahloujifar, Melis, Chaudhuri, "Auditing f-Differential Privacy in One Run", ICML 2025 (arXiv 2410.22235): the
recursion over the number of right guesses, for two curves (Dong, Roth, Su 2022).

* That of (epsilon, delta)-DP, which assumes nothing more. It proves up to 0.02 less than `one_run` (of 80 guesses or
  more) where delta does not matter, and much more where it does: with many coins, and at the low levels that many
  attacks and splits need.
* That of the Gaussian mechanism, for the claim "training is mu-GDP": nothing tells two neighbouring training sets apart
  better than N(0, 1) is told from N(mu, 1). It proves more from the same guesses. For a mechanism with another curve,
  it is no lower bound on epsilon.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp

from scipy.special import log_ndtr, ndtr, ndtri

Curve = Callable[[float], float]  # the least probability of an event, if it has this one on a neighbouring data set

_WITHIN = 1e-6  # of all bisections


def one_run_epsilon_by_curve(m: int, r: int, v: int, delta: float, p: float = 0.05) -> float:
    """The largest epsilon >= 0 for which v right of r guesses about m coins are too unlikely at level p; 0 if none.

    With probability at least 1 - p the true epsilon of the training (at this delta) is at least as large. Arguments and
    errors are those of `one_run.one_run_epsilon`; within 1e-6.
    """
    _check(m, r, v, delta, p)
    return _last(lambda epsilon: too_unlikely(m, r, v, dp_curve(epsilon, delta), p))


def one_run_epsilon_f_dp(m: int, r: int, v: int, delta: float, p: float = 0.05) -> float:
    """The epsilon at `delta` of the largest mu for which v right guesses are too unlikely; 0 if none.

    If training is mu-GDP for some mu, then with probability at least 1 - p its epsilon at this delta is at least as
    large. Arguments and errors are those of `one_run.one_run_epsilon`, but delta must be above 0.
    """
    _check(m, r, v, delta, p)
    return gaussian_epsilon(gaussian_mu(m, r, v, p), delta)


def gaussian_mu(m: int, r: int, v: int, p: float = 0.05) -> float:
    """The largest mu >= 0 for which v right of r guesses about m coins are too unlikely at level p; 0 if none."""
    _check(m, r, v, 0.0, p)
    return _last(lambda mu: too_unlikely(m, r, v, gaussian_curve(mu), p))


def dp_curve(epsilon: float, delta: float) -> Curve:
    """The curve of (epsilon, delta)-DP: x >= e^-epsilon (y - delta), and 1 - y >= e^-epsilon (1 - x - delta)."""
    ratio = exp(epsilon)
    return lambda y: max(0.0, (y - delta) / ratio, 1 - delta - ratio * (1 - y))


def gaussian_curve(mu: float) -> Curve:
    """The curve of mu-GDP: Phi(Phi^-1(y) - mu)."""
    return lambda y: float(ndtr(ndtri(y) - mu))


def too_unlikely(m: int, r: int, v: int, curve: Curve, p: float) -> bool:
    """Whether every mechanism of a curve gives v or more right of r guesses about m fair coins a probability below p.

    Let p_j be the probability of exactly j right guesses. Then for a random coin R_i = sum over j >= i of j p_j / m is
    the probability that it is guessed rightly and at least i guesses are right, and W_i = sum over j >= i of
    (r - j) p_j / m that it is guessed wrongly and at least i are right. Flipping this coin alone turns the event of
    R_(i + 1) into that of W_i, so W_i >= curve(R_(i + 1)); the average over coins keeps this, as the curve is convex.
    From P[v or more right] = p follow the least W_(v-1), W_(v-2), …, W_0, by turns with the R_i that come with them.
    All outcomes together have R_0 + W_0 = r / m; if the least are more, the probability of v or more is below p.
    """
    right, wrong = p * v / m, p * (r - v) / m
    for i in range(v - 1, -1, -1):
        least = curve(right)
        if least > wrong:
            right, wrong = right + i / (r - i) * (least - wrong), least
        if right + wrong > r / m:
            return True
    return False


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The least epsilon >= 0 with which every mu-GDP mechanism is (epsilon, delta)-DP, within 1e-6 (from below).

    delta(epsilon) = Phi(-epsilon / mu + mu / 2) - e^epsilon Phi(-epsilon / mu - mu / 2) (Dong, Roth, Su 2022, Corollary
    1; Balle, Wang 2018, Theorem 8). mu >= 0. Raises `ValueError` unless 0 < delta <= 1.
    """
    if not 0 < delta <= 1:
        raise ValueError(f"needs delta in (0, 1], got {delta=}")
    if mu == 0:
        return 0.0

    def exceeds(epsilon: float) -> bool:
        above = ndtr(mu / 2 - epsilon / mu) - exp(epsilon + log_ndtr(-mu / 2 - epsilon / mu))
        return bool(above > delta)

    return _last(exceeds)


def _check(m: int, r: int, v: int, delta: float, p: float) -> None:
    if not (0 <= v <= r <= m and 0 <= delta <= 1 and 0 < p < 1):
        raise ValueError(f"needs 0 <= v <= r <= m, delta in [0, 1], p in (0, 1); got {m=}, {r=}, {v=}, {delta=}, {p=}")


def _last(holds: Callable[[float], bool]) -> float:
    """The largest x >= 0 at which a condition holds that fails from there on, within 1e-6; 0 if it never holds."""
    if not holds(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while holds(high):
        low, high = high, 2 * high
    while high - low > _WITHIN:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
