"""Extraction from prompts that give the same image again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Interval, MinLen

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.errors import InputError

ROWS = 256  # rows of a distance matrix held at once, to bound memory
LOWEST = -2.0  # the score of images that no clique matched; a clique's score lies in [-1, 0]
Share = Annotated[float, Interval(ge=0, le=1)]


def tiled_distances(a: np.ndarray, b: np.ndarray, tiles: int) -> np.ndarray:
    """Distances [N, M] between images uint8 [N, C, H, W] and [M, C, H, W]: the maximum of l2 over `tiles` x `tiles`
    tiles.

    l2 is the root mean square difference of pixels in [0, 1]. The squares are sums of integers, which float64 holds
    exactly. So a distance depends only on its two images, and equal images are at distance 0.
    """
    here, there = _tiled(a, tiles), _tiled(b, tiles)
    worst = np.zeros((len(a), len(b)))
    for x, y in zip(here, there, strict=True):
        squared = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * (x @ y.T)
        np.maximum(worst, squared, out=worst)
    distances: np.ndarray = np.sqrt(worst / here.shape[2]) / 255
    return distances


def nearest_other(images: np.ndarray, tiles: int) -> np.ndarray:
    """Tiled distance of each image, uint8 [P, C, H, W], to the nearest other one, [P]."""
    nearest = np.empty(len(images))
    for first in range(0, len(images), ROWS):
        block = tiled_distances(images[first : first + ROWS], images, tiles)
        rows = np.arange(len(block))
        block[rows, first + rows] = np.inf
        nearest[first : first + ROWS] = block.min(1)
    return nearest


def check_tiles(where: str, tiles: int, images: np.ndarray) -> None:
    """Raise `InputError` unless `tiles`, under `where` in a config, divides the sides of images [N, C, H, W]."""
    height, width = images.shape[2:]
    if height % tiles or width % tiles:
        raise InputError(f"{where}.tiles is {tiles}; it must divide the image size {height}x{width}")


def _tiled(images: np.ndarray, tiles: int) -> np.ndarray:
    """float64 [tiles^2, N, pixels of a tile]."""
    n, channels, height, width = images.shape
    split = images.reshape(n, channels, tiles, height // tiles, tiles, width // tiles)
    return split.transpose(2, 4, 0, 1, 3, 5).reshape(tiles * tiles, n, -1).astype(np.float64)


@dataclass
class _Found:
    """The outcome for one model at one distance; arrays [P]."""

    score: np.ndarray
    flagged: np.ndarray
    nearest_sample: np.ndarray
    cliques: int = 0


@register("generate_and_filter")
@dataclass(frozen=True)
class GenerateAndFilter(Attack):
    """Generate and filter (Carlini et al. 2023, arXiv 2301.13188, §4.2).

    If a prompt's generations often look alike, the model has probably memorized the image that they show. A prompt is a
    class, or the caption of a text model; an unconditional model has one prompt. The first `samples_per_prompt` samples
    of each prompt are the nodes of a graph. An edge joins two samples whose tiled distance is at most d; that is the
    maximum of l2, the root mean square difference of pixels in [0, 1], over `tiles` x `tiles` tiles. Cliques of at
    least `clique` samples are flagged. They are found in polynomial time, as the clusters of complete linkage cut at d:
    all pairs of a cluster are within d. The paper searches for the largest clique of the graph, which may be larger.

    A flagged clique points at the pool image nearest to its medoid, or at all of them if several are equally near. The
    image's score is minus the mean distance of the pairs in its tightest clique, in [-1, 0]. All images that no clique
    points at have the score -2, and identical samples give exact ties at 0. Fixed rule "flagged": the medoid is within
    d of the image.

    The paper does not publish d. Here the candidates are `quantiles` of the tiled distance from each pool image to its
    nearest other pool image, member or decoy. The attack chooses the one that flags the most members in excess of
    decoys, summed over shadow models; a tie goes to the smaller d. Without shadow models, or where they flag nothing,
    it takes `default_quantile`.
    Access: samples. Model calls: those of the samples only. It finds nothing that the model generates fewer than
    `clique` times, and an unconditional model seldom repeats an image that often.
    """

    access = "samples"
    extracts = True
    shadows = "choices"
    summary = "the pool images nearest to cliques of generations that look alike"

    samples_per_prompt: Annotated[int, Ge(2)] = 2048  # the paper: 500
    tiles: Annotated[int, Ge(1)] = 4
    clique: Annotated[int, Ge(2)] = 10
    quantiles: Annotated[tuple[Share, ...], MinLen(1)] = (0.01, 0.02, 0.05, 0.1, 0.2)
    default_quantile: Share = 0.05

    def validate(self) -> None:
        if self.samples_per_prompt < self.clique:
            raise InputError(
                f"{self.where()}.samples_per_prompt is {self.samples_per_prompt}; it must be at least clique, "
                f"{self.clique}"
            )

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        check_tiles(self.where(), self.tiles, target.pool.images)
        apart = nearest_other(target.pool.images, self.tiles)
        quantile, reason = self.default_quantile, "the default quantile (no shadow model)"
        if shadows:
            candidates = sorted(self.quantiles)
            distances = [float(np.quantile(apart, q)) for q in candidates]
            excess = np.zeros(len(candidates))
            for known in shadows:
                flagged = [found.flagged for found in self._found(known, distances)]
                excess += [int(f[known.members].sum()) - int(f[~known.members].sum()) for f in flagged]
            if excess.max() > 0:
                quantile = candidates[int(np.argmax(excess))]
                reason = f"most members beyond decoys flagged on {len(shadows)} shadow models"
            else:
                reason = f"the default quantile (no more members than decoys flagged on {len(shadows)} shadow models)"
        distance = float(np.quantile(apart, quantile))
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

    def _found(self, model: Target, distances: Sequence[float]) -> list[_Found]:
        """What the cliques of a model's samples point at, for each of `distances`."""
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
        """Record one clique in `result`: the pool images nearest to its medoid."""
        to_pool = tiled_distances(model.samples[medoid : medoid + 1], model.pool.variants, self.tiles)[0]
        image = np.unique(model.pool.variant_of[to_pool == to_pool.min()])
        better = image[score > result.score[image]]
        result.score[better] = score
        result.nearest_sample[better] = medoid
        result.flagged[image] |= to_pool.min() <= distance
        result.cliques += 1
