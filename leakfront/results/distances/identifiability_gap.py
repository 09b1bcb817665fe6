"""Images that have a sample nearer than their nearest other image, members against decoys."""

from __future__ import annotations

import numpy as np

from leakfront.results.statistics.counts import excess_interval
from leakfront.results.statistics.estimate import Estimate


def identifiability_gap(
    members_apart: np.ndarray, members_to_samples: np.ndarray, decoys_apart: np.ndarray, decoys_to_samples: np.ndarray
) -> Estimate:
    """The share of members with a sample nearer than their nearest other member, minus that of decoys, in [-1, 1].

    Source: Yoon et al. 2020 (ADS-GAN, doi 10.1109/JBHI.2020.2980262), eq. 3, without its weights of features. All
    arguments are float [N]: the distance of each image to the nearest other image of its set, and to the nearest
    sample. The interval takes the images as independent.
    """
    of_members = int(np.count_nonzero(members_to_samples < members_apart))
    of_decoys = int(np.count_nonzero(decoys_to_samples < decoys_apart))
    n = len(members_apart)
    value, low, high = (end / n for end in excess_interval(of_members, n, of_decoys, len(decoys_apart)))
    return Estimate(value, low, high, "two Clopper-Pearson intervals at 97.5%")
