"""The one-run audit for Gaussian trade-off curves: what right guesses say about a mechanism that is mu-GDP for some mu.

Source: Mahloujifar, Melis, Chaudhuri, "Auditing f-Differential Privacy in One Run", ICML 2025 (arXiv 2410.22235): the
recursion over the number of right guesses, here for the curve of the Gaussian mechanism (Dong, Roth, Su 2022).

Knowing the curve, the audit proves more than `one_run` from the same guesses. But it audits another claim: "training is
mu-GDP", that is, nothing tells two neighbouring training sets apart better than N(0, 1) is told from N(mu, 1). For a
mechanism with another curve, it is no lower bound on epsilon.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp

from scipy.special import log_ndtr, ndtr, ndtri

_WITHIN = 1e-6  # of both bisections


def one_run_epsilon_f_dp(m: int, r: int, v: int, delta: float, p: float = 0.05) -> float:
    """The epsilon at `delta` of the largest mu that v right of r guesses about m coins reject at level p; 0 if none.

    If training is mu-GDP for some mu, then with probability at least 1 - p its epsilon at this delta is at least as
    large. Arguments and errors are those of `one_run.one_run_epsilon`, but delta must be above 0.
    """
    if not 0 < delta <= 1:
        raise ValueError(f"needs delta in (0, 1], got {delta=}")
    return gaussian_epsilon(gaussian_mu(m, r, v, p), delta)


def gaussian_mu(m: int, r: int, v: int, p: float = 0.05) -> float:
    """The largest mu >= 0 that v right of r guesses about m fair coins reject at level p, within 1e-6; 0 if none.

    Raises `ValueError` unless 0 <= v <= r <= m and 0 < p < 1.
    """
    if not (0 <= v <= r <= m and 0 < p < 1):
        raise ValueError(f"needs 0 <= v <= r <= m and p in (0, 1); got {m=}, {r=}, {v=}, {p=}")
    return _last(lambda mu: too_unlikely(m, r, v, mu, p))


def too_unlikely(m: int, r: int, v: int, mu: float, p: float) -> bool:
    """Whether v or more right of r guesses about m fair coins have a probability below p under mu-GDP.

    Let p_j be the probability of exactly j right guesses. Then for a random coin R_i = sum over j >= i of j p_j / m is
    the probability that it is guessed rightly and at least i guesses are right, and W_i = sum over j >= i of
    (r - j) p_j / m that it is guessed wrongly and at least i are right. Flipping this coin alone turns the event of
    R_(i + 1) into that of W_i, so mu-GDP allows no more than Phi^-1(R_(i + 1)) = Phi^-1(W_i) + mu (the average over
    coins keeps this, as the curve is concave). From P[v or more right] = p follow the least W_(v-1), W_(v-2), …, W_0,
    by turns with the R_i that come with them. All outcomes together have R_0 + W_0 = r / m; if the least are more, the
    probability of v or more cannot be as large as p.
    """
    right, wrong = p * v / m, p * (r - v) / m
    for i in range(v - 1, -1, -1):
        least = float(ndtr(ndtri(right) - mu))
        if least > wrong:
            right, wrong = right + i / (r - i) * (least - wrong), least
        if right + wrong > r / m:
            return True
    return False


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The least epsilon >= 0 with which every mu-GDP mechanism is (epsilon, delta)-DP, within 1e-6 (from below).

    delta(epsilon) = Phi(-epsilon / mu + mu / 2) - e^epsilon Phi(-epsilon / mu - mu / 2) (Dong, Roth, Su 2022, Corollary
    1; Balle, Wang 2018, Theorem 8). mu >= 0; delta in (0, 1].
    """
    if mu == 0:
        return 0.0

    def exceeds(epsilon: float) -> bool:
        above = ndtr(mu / 2 - epsilon / mu) - exp(epsilon + log_ndtr(-mu / 2 - epsilon / mu))
        return bool(above > delta)

    return _last(exceeds)


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
