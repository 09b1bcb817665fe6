"""The share of samples that are far nearer to one training image than to any other."""

from __future__ import annotations

import numpy as np

from leakfront.results.statistics.counts import clopper_pearson
from leakfront.results.statistics.estimate import Estimate

RATIO = 1 / 3


def memorized_share(to_nearest: np.ndarray) -> Estimate:
    """f_mem, the share of samples with d1 < d2 / 3, in [0, 1]; d1 and d2: to the nearest and second nearest image.

    Source: Yoon et al. 2023 (openreview shciCbSk9h); Gu et al. 2023 (arXiv 2310.02664); Bonnaire et al. 2025 (arXiv
    2505.17638). to_nearest: float [G, 2], d1 and d2 of each sample, to training images that all differ: an exact copy
    of the nearest one would be the second nearest, and hide that it is memorized. The interval is for samples drawn
    from this model.
    """
    count, samples = int(np.count_nonzero(to_nearest[:, 0] < RATIO * to_nearest[:, 1])), len(to_nearest)
    return Estimate(count / samples, *clopper_pearson(count, samples), "Clopper-Pearson, independent samples")
