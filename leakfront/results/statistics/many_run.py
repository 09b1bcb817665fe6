"""The audit by many runs: a lower bound on epsilon from guesses about one canary over many splits.

Source: Jagielski, Ullman, Oprea 2020 (arXiv 2006.07709, §3 and §4), and Nasr et al. 2021 (arXiv 2101.04535). Under
(epsilon, delta)-DP, the true-positive rate of any rule that tells from one model whether the canary was a member is at
most e^epsilon times its false-positive rate, plus delta; the same holds for decoys.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv


class ManyRunBound(NamedTuple):
    """epsilon: the lower bound. ceiling: the bound if every guess were right, given the coins. runs: their number."""

    epsilon: float
    ceiling: float
    runs: int


def guess(scores: np.ndarray, canary: int, eligible: np.ndarray) -> bool:
    """The guess that the canary is a member: whether its score is above the median of the eligible scores.

    scores: float [P]; canary: its index; eligible: bool [P]. The rule is fixed beforehand and uses no coin.
    Raises `ValueError` for shapes that differ, and if no image is eligible.
    """
    scores, eligible = np.asarray(scores, dtype=np.float64), np.asarray(eligible)
    if scores.ndim != 1 or scores.shape != eligible.shape or eligible.dtype != np.bool_ or not eligible.any():
        raise ValueError(f"scores {scores.shape} need eligible images of the same shape, bool, not {eligible.shape}")
    return bool(scores[canary] > np.median(scores[eligible]))


def many_run_epsilon(guesses: np.ndarray, members: np.ndarray, delta: float, confidence: float = 0.95) -> ManyRunBound:
    """The bound from one guess and one coin of the canary for each of S models: guesses bool [S], members bool [S].

    epsilon = max(ln((TPR_low - delta) / FPR_high), ln((TNR_low - delta) / FNR_high), 0), with one-sided Clopper-Pearson
    bounds TPR_low and FPR_high at level (1 - confidence) / 2 each. Both hold with probability at least `confidence`.
    Then TNR >= TNR_low = 1 - FPR_high and FNR <= FNR_high = 1 - TPR_low hold, too: the two ratios rest on the same two
    bounds, so taking the larger needs no further correction.

    The bound holds if the guesses are independent given the coins: each must come from its own run, by a rule that uses
    no other run. An attack that uses the models of the other runs as shadow models does not qualify.

    Raises `ValueError` for shapes that differ, values that are not bool, delta outside [0, 1) and confidence outside
    (0, 1).
    """
    guesses, members = np.asarray(guesses), np.asarray(members)
    if guesses.ndim != 1 or guesses.shape != members.shape:
        raise ValueError(f"guesses {guesses.shape} and members {members.shape} must be of one length")
    if guesses.dtype != np.bool_ or members.dtype != np.bool_:
        raise ValueError(f"guesses and members must be bool, not {guesses.dtype} and {members.dtype}")
    if not (0 <= delta < 1 and 0 < confidence < 1):
        raise ValueError(f"needs delta in [0, 1) and confidence in (0, 1); got {delta=}, {confidence=}")
    inside, outside = int(members.sum()), int((~members).sum())
    found, accused = int((guesses & members).sum()), int((guesses & ~members).sum())
    level = (1 - confidence) / 2
    return ManyRunBound(
        epsilon=_bound(found, inside, accused, outside, delta, level),
        ceiling=_bound(inside, inside, 0, outside, delta, level),
        runs=len(guesses),
    )


def _bound(found: int, inside: int, accused: int, outside: int, delta: float, level: float) -> float:
    tpr_low, fpr_high = _lower(found, inside, level), 1 - _lower(outside - accused, outside, level)
    fnr_high, tnr_low = 1 - tpr_low, 1 - fpr_high
    ratios = ((tpr_low - delta) / fpr_high, (tnr_low - delta) / fnr_high)
    return max((0.0, *(math.log(ratio) for ratio in ratios if ratio > 0)))


def _lower(k: int, n: int, level: float) -> float:
    """The one-sided Clopper-Pearson lower bound: the true probability is below it with a chance of at most `level`."""
    return float(betaincinv(k, n - k + 1, level)) if k else 0.0
