"""The one-run audit: a lower bound on epsilon from any attack's scores and the independent coins of one model.

Source: Steinke, Nasr, Jagielski, "Privacy Auditing with One (1) Training Run", NeurIPS 2023 (arXiv 2305.08846),
§5 and Appendix D. If training is (epsilon, delta)-DP, nobody can guess fair, independent coins much better than
randomized response, which is right with probability q = 1 / (1 + e^-epsilon).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Lt, MultipleOf
from scipy.special import expit
from scipy.stats import binom

from leakfront.errors import InputError
from leakfront.parameters import check_parameters

_TIE_SEED = 230508846


class EpsilonBound(NamedTuple):
    """epsilon: the lower bound. ceiling: the bound if every guess were right. coins m, guesses r, correct v."""

    epsilon: float
    ceiling: float
    coins: int
    guesses: int
    correct: int


@dataclass(frozen=True)
class OneRun:
    """The audit with its parameters, all fixed before the scores are seen.

    guesses: the number of coins that are guessed (k, even), half of them as members and half as decoys; the audit
    abstains from the others. delta: of the (epsilon, delta) statement under audit. confidence: of the lower bound.
    """

    guesses: Annotated[int, Ge(2), MultipleOf(2)] = 100
    delta: Annotated[float, Ge(0), Lt(1)] = 1e-5
    confidence: Annotated[float, Gt(0), Lt(1)] = 0.95

    def __post_init__(self) -> None:
        check_parameters(self, "one_run")

    def bound(
        self, scores: np.ndarray, members: np.ndarray, eligible: np.ndarray, corrections: int = 1
    ) -> EpsilonBound:
        """Guess that the k/2 highest eligible scores are members and the k/2 lowest decoys, and bound epsilon.

        scores: float [P], higher for likelier members; members: bool [P], the fair and independent coins; eligible:
        bool [P], False for images that share a coin with another (planted duplicates). corrections: the number of
        bounds (attacks, numbers of guesses) from which the best is chosen; each is computed at confidence
        1 - (1 - confidence) / corrections (Bonferroni). Ties between scores are broken by a fixed pseudo-random order
        of the images, which does not depend on the coins.

        Raises `ValueError` for corrections below 1, and what `guess` raises.
        """
        if corrections < 1:
            raise ValueError(f"corrections must be at least 1, got {corrections}")
        coins, right = self.guess(scores, members, eligible)
        level = (1 - self.confidence) / corrections
        return EpsilonBound(
            epsilon=one_run_epsilon(coins, self.guesses, right, self.delta, level),
            ceiling=ceiling(coins, self.guesses, self.delta, level),
            coins=coins,
            guesses=self.guesses,
            correct=right,
        )

    def guess(self, scores: np.ndarray, members: np.ndarray, eligible: np.ndarray) -> tuple[int, int]:
        """The number of eligible coins, and how many guesses are right; scores, members and eligible as in `bound`.

        Raises `InputError` if there are fewer eligible coins than guesses; `ValueError` for scores that are not finite,
        shapes that differ, and coins or eligibility that are not bool.
        """
        scores, members, eligible = np.asarray(scores, dtype=np.float64), np.asarray(members), np.asarray(eligible)
        if scores.ndim != 1 or not scores.shape == members.shape == eligible.shape:
            raise ValueError(
                f"scores {scores.shape}, members {members.shape}, eligible {eligible.shape} differ in shape"
            )
        if members.dtype != np.bool_ or eligible.dtype != np.bool_:
            raise ValueError(f"members and eligible must be bool, not {members.dtype} and {eligible.dtype}")
        coins = int(np.count_nonzero(eligible))
        if coins < self.guesses:
            raise InputError(
                f"one_run: {self.guesses} guesses need as many images with a coin of their own, and the pool has "
                f"{coins}; lower guesses or enlarge the pool"
            )
        unusable = int(np.count_nonzero(~np.isfinite(scores[eligible])))
        if unusable:
            raise ValueError(f"{unusable} of {coins} eligible scores are not finite")
        shuffled = np.random.default_rng(_TIE_SEED).permutation(len(scores))
        shuffled = shuffled[eligible[shuffled]]
        ascending = shuffled[np.argsort(scores[shuffled], kind="stable")]
        half = self.guesses // 2
        right = np.count_nonzero(members[ascending[-half:]]) + np.count_nonzero(~members[ascending[:half]])
        return coins, int(right)


def p_value(m: int, r: int, v: int, epsilon: float, delta: float) -> float:
    """The largest probability of v or more right among r guesses of m fair coins under (epsilon, delta)-DP.

    With q = 1 / (1 + e^-epsilon): P[Bin(r, q) >= v] + 2 m delta max over i in 1 … v of P[v > Bin(r, q) >= v - i] / i,
    at most 1 (Appendix D). It is computed from the number of wrong guesses, Bin(r, 1 - q), which stays accurate as q
    approaches 1.
    """
    wrong = expit(-epsilon)
    tail = float(binom.cdf(r - v, r, wrong))
    if v == 0 or delta == 0:
        return tail
    within = np.cumsum(binom.pmf(np.arange(r - v + 1, r + 1), r, wrong))
    return min(1.0, tail + 2 * m * delta * float((within / np.arange(1, v + 1)).max()))


def one_run_epsilon(m: int, r: int, v: int, delta: float, p: float = 0.05) -> float:
    """The largest epsilon >= 0 that v right of r guesses about m coins reject at level p, within 1e-6; 0 if none.

    With probability at least 1 - p the true epsilon of the training (at this delta) is at least as large. Bisection on
    `p_value`. Known answers: m 1000, r 100, v 75, delta 1e-4 -> 0.673; m 1e5, r 1510, v 1439, delta 1e-5 -> 2.676.

    Raises `ValueError` unless 0 <= v <= r <= m, 0 <= delta <= 1 and 0 < p < 1.
    """
    if not (0 <= v <= r <= m and 0 <= delta <= 1 and 0 < p < 1):
        raise ValueError(f"needs 0 <= v <= r <= m, delta in [0, 1], p in (0, 1); got {m=}, {r=}, {v=}, {delta=}, {p=}")
    if p_value(m, r, v, 0.0, delta) >= p:
        return 0.0
    low, high = 0.0, 1.0
    while p_value(m, r, v, high, delta) < p:
        low, high = high, 2 * high
    while high - low > 1e-6:
        middle = (low + high) / 2
        if p_value(m, r, v, middle, delta) < p:
            low = middle
        else:
            high = middle
    return low


def ceiling(m: int, r: int, delta: float, p: float = 0.05) -> float:
    """The bound if all r guesses about m coins are right: the highest that an audit of this size can prove."""
    return one_run_epsilon(m, r, r, delta, p)
