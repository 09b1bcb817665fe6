"""Samples that are nearer to an image than that image's own nearest neighbour, among members against decoys."""

from __future__ import annotations

import math

import numpy as np

from leakfront.results.statistics.estimate import Estimate


def authenticity_gap(of_members: float, of_decoys: float) -> Estimate:
    """auth(H) - auth(T), in [-1, 1]; 0 if members and decoys are exchangeable, above if samples crowd around members.

    Source: Alaa et al. 2022 (arXiv 2102.08921), section 3.3. auth(T) alone is about one half for images that were never
    trained on, so it is read against that of decoys. of_members, of_decoys: `authenticity` towards T and H.
    """
    return Estimate(of_decoys - of_members, math.nan, math.nan, "no interval within one model")


def authenticity(to_nearest: np.ndarray, nearest: np.ndarray, apart: np.ndarray) -> float:
    """The share of samples s whose nearest image x of a set has another image of the set nearer than s, in [0, 1].

    to_nearest: float [G], d(s, x). nearest: int64 [G], the number of x. apart: float [N], the distance of each image of
    the set to the nearest other one.
    """
    return float(np.mean(apart[nearest] < to_nearest))
