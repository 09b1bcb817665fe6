"""Precision and recall of a ranking."""

from __future__ import annotations

import numpy as np


def precision_recall(distance: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds [n], precision [n] and recall [n] of items that are called at a distance up to each threshold.

    distance: float [N], smaller first. true: bool [N], at least one. Ties are called together. Recall is the share of
    the true items among the N.
    """
    order = np.argsort(distance, kind="stable")
    ranked, hits = distance[order], np.cumsum(true[order])
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    return ranked[last], hits[last] / (last + 1), hits[last] / hits[-1]
