"""The one-run audit: a lower bound on epsilon from any attack's scores and the independent coins of one model.

Source: Steinke, Nasr, Jagielski, "Privacy Auditing with One (1) Training Run", NeurIPS 2023 (arXiv 2305.08846),
§5 and Appendix D. An (epsilon, delta)-DP training lets nobody guess fair, independent coins much better than
randomized response does, which is right with probability q = 1 / (1 + e^-epsilon).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit
from scipy.stats import binom

from leakfront.errors import InputError

_TIE_SEED = 230508846


class EpsilonBound(NamedTuple):
    """epsilon: the lower bound; ceiling: what it would be with every guess right; coins m, guesses r, correct v."""

    epsilon: float
    ceiling: float
    coins: int
    guesses: int
    correct: int


@dataclass(frozen=True)
class OneRun:
    """The audit with its parameters, all fixed before scores are seen.

    guesses: how many coins are guessed (k, even), half of them members and half decoys; the rest is abstained from.
    delta: of the (epsilon, delta) statement under audit. confidence: of the lower bound.
    """

    guesses: int = 100
    delta: float = 1e-5
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.guesses < 2 or self.guesses % 2:
            raise InputError(f"one_run: guesses must be an even number of at least 2, not {self.guesses}")
        if not 0 <= self.delta < 1:
            raise InputError(f"one_run: delta must be at least 0 and below 1, not {self.delta}")
        if not 0 < self.confidence < 1:
            raise InputError(f"one_run: confidence must lie between 0 and 1, not {self.confidence}")

    def bound(
        self, scores: np.ndarray, members: np.ndarray, eligible: np.ndarray, corrections: int = 1
    ) -> EpsilonBound:
        """Guess the k/2 highest eligible scores members and the k/2 lowest decoys, and bound epsilon by the result.

        scores: float [P], higher for likelier members; members: bool [P], the fair and independent coins; eligible:
        bool [P], False for images that share a coin with another (planted duplicates). corrections: how many bounds
        (attacks, numbers of guesses) the best is taken of; each is computed at confidence 1 - (1 - confidence) /
        corrections (Bonferroni). Tied scores are ordered by a fixed pseudo-random order of the images, which knows
        nothing of the coins.

        Raises InputError if fewer coins are eligible than guesses are wanted; ValueError for scores that are not
        finite, shapes that differ, coins or eligibility that are not bool, and corrections below 1.
        """
        scores, members, eligible = np.asarray(scores, dtype=np.float64), np.asarray(members), np.asarray(eligible)
        if scores.ndim != 1 or not scores.shape == members.shape == eligible.shape:
            raise ValueError(
                f"scores {scores.shape}, members {members.shape}, eligible {eligible.shape} differ in shape"
            )
        if members.dtype != np.bool_ or eligible.dtype != np.bool_:
            raise ValueError(f"members and eligible must be bool, not {members.dtype} and {eligible.dtype}")
        if corrections < 1:
            raise ValueError(f"corrections must be at least 1, got {corrections}")
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
        half, level = self.guesses // 2, (1 - self.confidence) / corrections
        right = np.count_nonzero(members[ascending[-half:]]) + np.count_nonzero(~members[ascending[:half]])
        return EpsilonBound(
            epsilon=one_run_epsilon(coins, self.guesses, int(right), self.delta, level),
            ceiling=ceiling(coins, self.guesses, self.delta, level),
            coins=coins,
            guesses=self.guesses,
            correct=int(right),
        )


def p_value(m: int, r: int, v: int, epsilon: float, delta: float) -> float:
    """The probability, at most, of v or more right among r guesses of m fair coins under (epsilon, delta)-DP.

    With q = 1 / (1 + e^-epsilon): P[Bin(r, q) >= v] + 2 m delta max over i in 1 … v of P[v > Bin(r, q) >= v - i] / i,
    at most 1 (Appendix D). Computed from the number of wrong guesses, Bin(r, 1 - q), which keeps its accuracy as q
    approaches 1.
    """
    wrong = expit(-epsilon)
    tail = float(binom.cdf(r - v, r, wrong))
    if v == 0 or delta == 0:
        return tail
    within = np.cumsum(binom.pmf(np.arange(r - v + 1, r + 1), r, wrong))
    return min(1.0, tail + 2 * m * delta * float((within / np.arange(1, v + 1)).max()))


def one_run_epsilon(m: int, r: int, v: int, delta: float, p: float = 0.05) -> float:
    """The largest epsilon >= 0 that v right of r guesses about m coins reject at level p, 0 if none; to 1e-6.

    With probability at least 1 - p the training's true epsilon (at this delta) is no lower. Bisection on `p_value`.
    Known answers: m 1000, r 100, v 75, delta 1e-4 -> 0.673; m 1e5, r 1510, v 1439, delta 1e-5 -> 2.676.

    Raises ValueError unless 0 <= v <= r <= m, 0 <= delta <= 1 and 0 < p < 1.
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
    """The bound that r guesses about m coins give when all are right: nothing higher can be audited."""
    return one_run_epsilon(m, r, r, delta, p)
