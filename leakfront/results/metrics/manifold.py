"""The k-nearest-neighbour manifolds behind four metrics: exact distances in blocks, counts in balls, halvings.

A set's manifold is the union of balls around its images; each ball reaches to the image's k-th nearest other image of
the set (Kynkäänniemi et al. 2019, arXiv 1904.06991, eq. 1). Distances are squared and summed from differences of
coordinates, in float64: equal images have distance exactly 0, and equal distances tie exactly. The faster
|x|^2 + |y|^2 - 2 x.y has neither property.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv

from leakfront.results.metrics import Metric
from leakfront.results.metrics.image_set import ImageSet
from leakfront.results.statistics.estimate import Estimate

HALVINGS = 20
QUANTILE = 2.09  # of Student's t with 20 degrees of freedom: the standard error from 20 halvings varies by 16 to 20%
_BLOCK = 2**21  # distances in memory at a time


@dataclass(frozen=True)
class ManifoldMetric(Metric):
    """A metric of the balls to the `k`-th nearest neighbour; higher is better, and at least 0."""

    higher_is_better = True
    floor = 0.0

    k: int

    def minimum(self, dimensions: int) -> int:
        """20 images, since the interval from fewer is too wide to be of use; and k + 1 in each half of them."""
        return max(20, 2 * (self.k + 1))

    def estimate(self, generated: ImageSet, real: ImageSet, seed: int) -> Estimate:
        """The metric of N_G against N_R images; `seed` draws the halvings behind the interval.

        Raises `InputError` below `minimum(d)` images on either side.
        """
        self.check_images(generated, real)
        return self.measure(generated.matrix(), real.matrix(), seed)

    def measure(self, generated: np.ndarray, real: np.ndarray, seed: int) -> Estimate:
        """`estimate` of enough images, from their features [N_G, d] and [N_R, d]."""
        raise NotImplementedError


class Counts(NamedTuple):
    """Counts for all images, then for both halves of each halving; int64 [1 + 2 * HALVINGS] each.

    points, balls: how many there are. held: points in at least one ball. hit: balls with at least one point. pairs: of
    a ball and a point in it.
    """

    points: np.ndarray
    balls: np.ndarray
    held: np.ndarray
    hit: np.ndarray
    pairs: np.ndarray


def count(points: np.ndarray, centres: np.ndarray, k: int, seed: int, closed: bool) -> Counts:
    """Count the `points` [M, d] in the balls around `centres` [N, d], N at least 2 (k + 1).

    closed: whether a point exactly at the radius is inside. An open ball of radius 0 (around an image with k copies) is
    not empty here: it holds the points equal to its centre. Each of the HALVINGS, drawn with `seed`, cuts both sets in
    two at random; the balls of a half are those of its own images.

    Time grows as (M + N) N d; memory holds 2^21 distances at a time and 0.5 kB for each image.
    """
    rng = np.random.default_rng(seed)
    of_points, of_centres = _subsets(len(points), rng), _subsets(len(centres), rng)
    radii = _radii(centres, of_centres, k)
    if not closed:
        radii = np.where(radii > 0, np.nextafter(radii, -1.0), radii)
    hit = np.zeros(of_centres.shape, dtype=np.bool_)
    held, pairs = np.zeros(len(of_points), np.int64), np.zeros(len(of_points), np.int64)
    for rows, squared in squared_distances(points, centres):
        for s, (mine, radius) in enumerate(zip(of_points[:, rows], radii, strict=True)):
            within = squared[mine] <= radius
            held[s] += np.count_nonzero(within.any(axis=1))
            hit[s] |= within.any(axis=0)
            pairs[s] += np.count_nonzero(within)
    return Counts(of_points.sum(axis=1), of_centres.sum(axis=1), held, hit.sum(axis=1), pairs)


def squared_distances(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances of the rows of [n, d] to all rows of [m, d], in blocks of (rows of x, float64 [rows, m])."""
    from scipy.spatial.distance import cdist

    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    step = max(1, _BLOCK // len(y))
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        yield rows, cdist(x[rows], y, "sqeuclidean")


def _subsets(images: int, rng: np.random.Generator) -> np.ndarray:
    """All images, then the two halves of each halving: bool [1 + 2 * HALVINGS, images]."""
    first = np.array([rng.permutation(images) < images // 2 for _ in range(HALVINGS)])
    halves = np.stack([first, ~first], axis=1).reshape(-1, images)
    return np.concatenate([np.ones((1, images), dtype=np.bool_), halves])


def _radii(centres: np.ndarray, subsets: np.ndarray, k: int) -> np.ndarray:
    """Squared distance to the k-th nearest other image of the same subset, as `subsets`; -1 for images outside it."""
    radii = np.full(subsets.shape, -1.0)
    for rows, squared in squared_distances(centres, centres):
        np.fill_diagonal(squared[:, rows], np.inf)
        for radius, subset in zip(radii, subsets, strict=True):
            mine = np.flatnonzero(subset[rows])
            among = squared[np.ix_(mine, np.flatnonzero(subset))]
            among.partition(k - 1, axis=1)
            radius[rows.start + mine] = among[:, k - 1]
    return radii


def halves_variance(values: np.ndarray) -> float:
    """Variance of a statistic of half of the images over new draws of all, from its values [1 + 2 * HALVINGS]."""
    halves = values[1:].reshape(-1, 2)
    return float(((halves[:, 0] - halves[:, 1]) ** 2).mean() / 2)


def share(values: np.ndarray, averaged: int) -> Estimate:
    """A share of `averaged` images in [0, 1] with its interval, from its values [1 + 2 * HALVINGS].

    The interval is Clopper and Pearson's for the effective number of independent trials (Korn and Graubard 1998):
    `averaged` divided by the design effect. The design effect is the variance between halves over the binomial variance
    of a half, at least 1. The two halves of a halving share no image, so their variance is one over new draws of both
    image sets, however the images of a set depend on each other. The one assumption is that twice as many images have
    the same design effect. The interval has a width at shares of 0 and 1, too.
    """
    value, of_halves = float(values[0]), float(values[1:].mean())
    binomial = of_halves * (1 - of_halves) / (averaged / 2)
    effect = max(halves_variance(values) / binomial, 1.0) if binomial > 0 else 1.0
    trials = averaged / effect * (1.96 / QUANTILE) ** 2
    hits = value * trials
    low = 0.0 if value == 0 else float(betaincinv(hits, trials - hits + 1, 0.025))
    high = 1.0 if value == 1 else float(betaincinv(hits + 1, trials - hits, 0.975))
    return Estimate(value, low, high, f"Clopper-Pearson at the variance of {HALVINGS} halvings, both image sets")
