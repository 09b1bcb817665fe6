"""The share of samples that are copies of members, by the threshold of extraction."""

from __future__ import annotations

import numpy as np

from leakfront.results.statistics.counts import clopper_pearson
from leakfront.results.statistics.estimate import Estimate


def n_copies(neighbours: np.ndarray, neighbour_scores: np.ndarray, members: np.ndarray, threshold: float) -> Estimate:
    """The share of samples that match a member at an extraction threshold, in [0, 1].

    Source: Dar et al. 2024 (arXiv 2402.01054), who set the threshold on held-out images; here it is that of the 5%
    false-discovery rate. neighbours: int [G, n], pool images near each sample. neighbour_scores: float [G, n], how far
    they are, lower for nearer. members: bool [P]. threshold: of the score, minus the distance; inf if nothing is
    reported, and then no sample is a copy. The interval takes the threshold as fixed.
    """
    matched = (-neighbour_scores.astype(np.float64) >= threshold) & members[neighbours]
    count, samples = int(matched.any(axis=1).sum()), len(neighbours)
    return Estimate(count / samples, *clopper_pearson(count, samples), "Clopper-Pearson, samples at a fixed threshold")
