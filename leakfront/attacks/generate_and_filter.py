"""Extraction from prompts that give the same image again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.errors import InputError

ROWS = 256  # of a distance matrix at once, which bounds what is allocated
LOWEST = -2.0  # of images that no clique matched; a clique's own score lies in -1 … 0


def tiled_distances(a: np.ndarray, b: np.ndarray, tiles: int) -> np.ndarray:
    """[N, M], the maximum over `tiles` x `tiles` tiles of l2 between images uint8 [N, C, H, W] and [M, C, H, W].

    l2 is the root mean square of pixels in [0, 1]. The squares are sums of integers, which float64 holds exactly, so a
    distance depends on its two images alone, and equal images are at distance 0.
    """
    here, there = _tiled(a, tiles), _tiled(b, tiles)
    worst = np.zeros((len(a), len(b)))
    for x, y in zip(here, there, strict=True):
        squared = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * (x @ y.T)
        np.maximum(worst, squared, out=worst)
    distances: np.ndarray = np.sqrt(worst / here.shape[2]) / 255
    return distances


def _tiled(images: np.ndarray, tiles: int) -> np.ndarray:
    """float64 [tiles^2, N, pixels of a tile]."""
    n, channels, height, width = images.shape
    if height % tiles or width % tiles:
        raise InputError(
            f"attacks.generate_and_filter.tiles is {tiles}; it must divide the image size {height}x{width}"
        )
    split = images.reshape(n, channels, tiles, height // tiles, tiles, width // tiles)
    return split.transpose(2, 4, 0, 1, 3, 5).reshape(tiles * tiles, n, -1).astype(np.float64)


@dataclass
class _Found:
    """Of one model at one distance; arrays [P]."""

    score: np.ndarray
    flagged: np.ndarray
    nearest_sample: np.ndarray
    cliques: int = 0


@register("generate_and_filter")
@dataclass(frozen=True)
class GenerateAndFilter(Attack):
    """Generate and filter (Carlini et al. 2023, arXiv 2301.13188, §4.2).

    A prompt (a class; an unconditional model is one prompt) whose generations often come out alike has probably
    memorized what they show. The first `samples_per_prompt` samples of each prompt make a graph, with an edge where the
    tiled distance (the maximum over `tiles` x `tiles` tiles of l2, the root mean square of pixels in [0, 1]) is at most
    d. Cliques of `clique` samples and more are flagged. They are the clusters of complete linkage cut at d: all pairs
    of a cluster are within d, so each is a clique, found in polynomial time. The largest clique of the graph, which the
    paper searches for, may be larger.

    A flagged clique points at the pool image nearest to its medoid (all of them, if several are equally near). That
    image's score is minus the mean distance of the pairs within its tightest clique, from -1 to 0. All images that no
    clique points at share -2, and identical samples give exact ties at 0. Fixed rule "flagged": the medoid is within d
    of the image.

    The paper does not publish d. Here the candidates are `quantiles` of the tiled distance from each pool image to its
    nearest other one, members and decoys alike. The one chosen has the most members beyond decoys flagged, summed over
    shadow models, ties to the smaller d; it is `default_quantile` without shadows, or where they flag nothing.
    Access: samples. No model calls beside the samples. It finds nothing that the model gives fewer than `clique` times,
    and an unconditional model seldom repeats an image that often.
    """

    access = "samples"
    extracts = True
    shadows = "choices"
    summary = "pool images nearest to cliques of generations that came out alike"

    samples_per_prompt: int = 2048  # the paper: 500
    tiles: int = 4
    clique: int = 10
    quantiles: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2)
    default_quantile: float = 0.05

    def __post_init__(self) -> None:
        for key, least in (("clique", 2), ("samples_per_prompt", self.clique), ("tiles", 1)):
            if getattr(self, key) < least:
                where = f"attacks.generate_and_filter.{key} is {getattr(self, key)}"
                raise InputError(f"{where}; it must be at least {least}")
        for key, values in (("quantiles", self.quantiles), ("default_quantile", [self.default_quantile])):
            if not len(values) or not all(0 <= q <= 1 for q in values):
                shown = getattr(self, key)
                raise InputError(f"attacks.generate_and_filter.{key} is {shown}; it must lie between 0 and 1")

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        nearest_other = self._nearest_other(target.pool.images)
        quantile, reason = self.default_quantile, "the default quantile (no shadow model)"
        if shadows:
            candidates = sorted(self.quantiles)
            distances = [float(np.quantile(nearest_other, q)) for q in candidates]
            excess = np.zeros(len(candidates))
            for known in shadows:
                flagged = [found.flagged for found in self._found(known, distances)]
                excess += [int(f[known.members].sum()) - int(f[~known.members].sum()) for f in flagged]
            if excess.max() > 0:
                quantile = candidates[int(np.argmax(excess))]
                reason = f"most members beyond decoys flagged on {len(shadows)} shadow models"
            else:
                reason = f"the default quantile (no more members than decoys flagged on {len(shadows)} shadow models)"
        distance = float(np.quantile(nearest_other, quantile))
        found = self._found(target, [distance])[0]
        return Scores(
            found.score,
            matched={"flagged": found.flagged},
            evidence={"nearest_sample": found.nearest_sample},
            choices={
                "distance": distance,
                "quantile": quantile,
                "chosen by": reason,
                "cliques flagged": found.cliques,
            },
        )

    def _nearest_other(self, images: np.ndarray) -> np.ndarray:
        """Tiled distance of each pool image to the nearest other one, [P]."""
        nearest = np.empty(len(images))
        for first in range(0, len(images), ROWS):
            block = tiled_distances(images[first : first + ROWS], images, self.tiles)
            rows = np.arange(len(block))
            block[rows, first + rows] = np.inf
            nearest[first : first + ROWS] = block.min(1)
        return nearest

    def _found(self, model: Target, distances: Sequence[float]) -> list[_Found]:
        """What the cliques of a model's samples point at, for each distance."""
        from scipy.cluster.hierarchy import fcluster, linkage
        from scipy.spatial.distance import squareform

        size = len(model.pool.images)
        results = [_Found(np.full(size, LOWEST), np.zeros(size, bool), np.full(size, -1, np.int64)) for _ in distances]
        for prompt in np.unique(model.sample_labels):
            sample = np.flatnonzero(model.sample_labels == prompt)[: self.samples_per_prompt]
            if len(sample) < self.clique:
                continue
            between = self._between(model.samples[sample])
            tree = linkage(between, "complete")
            square = squareform(between)
            for result, distance in zip(results, distances, strict=True):
                cluster = fcluster(tree, distance, "distance")
                for label in np.flatnonzero(np.bincount(cluster) >= self.clique):
                    clique = np.flatnonzero(cluster == label)
                    within = square[np.ix_(clique, clique)].sum(1)
                    medoid = sample[clique[np.argmin(within)]]
                    spread = float(within.sum()) / (len(clique) * (len(clique) - 1))
                    self._point(result, model, int(medoid), -spread, distance)
        return results

    def _between(self, images: np.ndarray) -> np.ndarray:
        """Tiled distances of all pairs of images, in SciPy's condensed form [n (n - 1) / 2]."""
        n = len(images)
        parts: list[np.ndarray] = []
        for first in range(0, n, ROWS):
            block = tiled_distances(images[first : first + ROWS], images[first:], self.tiles)
            parts.extend(row[i + 1 :] for i, row in enumerate(block))
        return np.concatenate(parts)

    def _point(self, result: _Found, model: Target, medoid: int, score: float, distance: float) -> None:
        """Enter one clique: the pool images nearest to its medoid."""
        to_pool = tiled_distances(model.samples[medoid : medoid + 1], model.pool.variants, self.tiles)[0]
        image = np.unique(model.pool.variant_of[to_pool == to_pool.min()])
        better = image[score > result.score[image]]
        result.score[better] = score
        result.nearest_sample[better] = medoid
        result.flagged[image] |= to_pool.min() <= distance
        result.cliques += 1
