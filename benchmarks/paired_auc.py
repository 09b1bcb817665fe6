"""The difference of two AUCs on the same images, with a paired bootstrap interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Difference(NamedTuple):
    """An AUC less another, and the ends of its 95% interval."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """ "weaker" if the whole interval is below 0, "stronger" if it is above 0, else "equal"."""
        return "weaker" if self.high < 0 else "stronger" if self.low > 0 else "equal"


def wins(scores: np.ndarray, members: np.ndarray) -> np.ndarray:
    """[members, decoys]: 1 where the member has the higher score, 1/2 in a tie; the mean is the AUC."""
    inside, outside = scores[members][:, None], scores[~members][None]
    found: np.ndarray = (inside > outside) + 0.5 * (inside == outside)
    return found


def difference(
    ours: Sequence[np.ndarray],
    theirs: Sequence[np.ndarray],
    members: Sequence[np.ndarray],
    seed: int,
    draws: int = 1000,
) -> Difference:
    """The mean over splits of the AUC of `ours` less that of `theirs`.

    Each split has scores [P] of both and coins bool [P]. In every draw, members and decoys of each split are drawn with
    replacement (stratified), the same ones for both scores. The interval is that of the images of these models; it does
    not count that other models could have been trained.
    """
    rng = np.random.default_rng(seed)
    values, drawn = [], np.zeros(draws)
    for a, b, coins in zip(ours, theirs, members, strict=True):
        gap = wins(a, coins) - wins(b, coins)
        values.append(gap.mean())
        rows, columns = (rng.multinomial(n, np.full(n, 1 / n), draws) / n for n in gap.shape)
        drawn += ((rows @ gap) * columns).sum(1) / len(ours)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Difference(float(np.mean(values)), float(low), float(high))
