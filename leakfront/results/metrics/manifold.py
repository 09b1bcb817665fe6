"""What the metrics of k-nearest-neighbour manifolds share: exact distances in blocks, counts in balls, halvings.

A set's manifold is the union of balls around its images, each as wide as the distance to its k-th nearest other image
of the set (Kynkäänniemi et al. 2019, arXiv 1904.06991, eq. 1). Distances are squared and summed from differences of
coordinates, in float64: equal images are 0 apart exactly and equal distances tie exactly, which they do not in the
faster |x|^2 + |y|^2 - 2 x.y.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.special import betaincinv

from leakfront.errors import InputError
from leakfront.results.metrics import Estimate
from leakfront.results.metrics.image_set import ImageSet

HALVINGS = 20
QUANTILE = 2.09  # of Student's t with 20 degrees of freedom: the standard error from 20 halvings varies by 16 to 20%
_BLOCK = 2**21  # distances that are in memory at a time


@dataclass(frozen=True)
class ManifoldMetric(ABC):
    """A metric of the balls to the `k`-th nearest neighbour; higher is better."""

    name: ClassVar[str]
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True

    k: int

    def __post_init__(self) -> None:
        """Refuse a number of neighbours that there are not."""
        if self.k < 1:
            raise InputError(f"k must be at least 1, got {self.k}")

    def minimum(self, dimensions: int) -> int:
        """20 images, fewer having an interval that is hardly worth printing; and k + 1 in each half of them."""
        return max(20, 2 * (self.k + 1))

    def estimate(self, generated: ImageSet, real: ImageSet, seed: int) -> Estimate:
        """The metric of N_G against N_R images; `seed` draws the halvings behind the interval.

        Raises `InputError` below `minimum(d)` images on either side.
        """
        needed = self.minimum(generated.dimensions)
        if min(len(generated), len(real)) < needed:
            raise InputError(
                f"{self.name} with k = {self.k} needs at least {needed} images on each side, "
                f"got {len(generated)} generated and {len(real)} real"
            )
        return self.measure(generated.matrix(), real.matrix(), seed)

    @abstractmethod
    def measure(self, generated: np.ndarray, real: np.ndarray, seed: int) -> Estimate:
        """`estimate` of enough images, from their features [N_G, d] and [N_R, d]."""


class Counts(NamedTuple):
    """What lies in the balls, of all images and then of both halves of each halving; int64 [1 + 2 * HALVINGS] each.

    points, balls: how many there are. held: points that lie in at least one ball. hit: balls that hold at least one
    point. pairs: of a ball and a point in it.
    """

    points: np.ndarray
    balls: np.ndarray
    held: np.ndarray
    hit: np.ndarray
    pairs: np.ndarray


def count(points: np.ndarray, centres: np.ndarray, k: int, seed: int, closed: bool) -> Counts:
    """Count the `points` [M, d] in the balls around `centres` [N, d], N at least 2 (k + 1).

    closed: whether a point at the very radius is in. An open ball of radius 0 (of an image with k copies) is not empty
    here: it holds what equals its centre. Each of the HALVINGS, drawn with `seed`, cuts both sets at random; the balls
    of a half are those of its own images.

    Time grows as (M + N) N d; in memory are 2^21 distances at a time, and 0.5 kB for each image.
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
    """Squared distances of rows of [n, d] to all rows of [m, d], as (rows of x, float64 [rows, m]), block by block."""
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
    """Variance, over drawing all images anew, of a statistic on half of them, from its values [1 + 2 * HALVINGS]."""
    halves = values[1:].reshape(-1, 2)
    return float(((halves[:, 0] - halves[:, 1]) ** 2).mean() / 2)


def share(values: np.ndarray, averaged: int) -> Estimate:
    """A share of `averaged` images in [0, 1] with its interval, from its values [1 + 2 * HALVINGS].

    Clopper and Pearson's interval for as many independent trials as the images are worth (Korn and Graubard 1998):
    `averaged` over the design effect, the variance between halves over the binomial one of a half, at least 1. The
    halves of one halving share no image, so theirs is a variance over drawing both image sets anew, whatever the images
    of a set have to do with each other; what is assumed is that the design effect is the same for twice as many.
    At shares of 0 and 1 the interval has a width too.
    """
    value, of_halves = float(values[0]), float(values[1:].mean())
    binomial = of_halves * (1 - of_halves) / (averaged / 2)
    effect = max(halves_variance(values) / binomial, 1.0) if binomial > 0 else 1.0
    trials = averaged / effect * (1.96 / QUANTILE) ** 2
    hits = value * trials
    low = 0.0 if value == 0 else float(betaincinv(hits, trials - hits + 1, 0.025))
    high = 1.0 if value == 1 else float(betaincinv(hits + 1, trials - hits, 0.975))
    return Estimate(value, low, high, f"Clopper-Pearson at the variance of {HALVINGS} halvings, both image sets")
