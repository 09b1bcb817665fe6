"""Extraction of training images from generated ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt

from leakfront.attacks import Attack, PoolView, Scores, Shadow, Target, register
from leakfront.attacks.nearest import flatten_unit, nearest_neighbours
from leakfront.errors import InputError

DECODED = "images whose nearest sample is nearer to them after one encode and decode"


def nearer_decoded(pool: PoolView, samples: np.ndarray, nearest: np.ndarray) -> np.ndarray | None:
    """Whether a sample is nearer to a pool image after one encode and decode than to the image itself, bool [P].

    samples: uint8 [N, C, H, W]. nearest: int64 [P], the sample of each image, or -1. None unless the model is a latent
    one.
    """
    if not pool.decoded:
        return None
    known, coded = nearest >= 0, pool.variants[-pool.decoded :]
    seen = samples[nearest[known]].astype(np.float32)
    apart = [np.square(seen - images[known].astype(np.float32)).sum((1, 2, 3)) for images in (coded, pool.images)]
    found = np.zeros(len(pool.images), bool)
    found[known] = apart[0] < apart[1]
    return found


@register("extraction")
@dataclass(frozen=True)
class Extraction(Attack):
    """Untargeted extraction (Carlini et al. 2023, arXiv 2301.13188, §5.1).

    For a generated image g and a pool image x, score(g, x) = l2(g, x) / (alpha * mean over y in S of l2(., y)). S is
    the set of the `neighbours` nearest pool images of g (`center` "generated") or of x ("real"). l2 is the root mean
    square difference of pixels in [0, 1]. S holds members and decoys alike, so the calibration is blind to the coins.
    A pool image's score is minus its smallest value over all g. Images that are not among the nearest of any g come
    last.

    It also applies three fixed rules, each a bool for every pool image:
    adaptive: score(g, x) < 1 for some g (the paper's rule);
    distance: l2(g, x) < `distance` for some g whose nearest pool image is x, where l2 is the maximum over
    `tiles` x `tiles` tiles (the paper: 0.15 on photographs);
    ratio: d1 / d2 < `ratio` for some g whose nearest pool image is x, where d2 is the distance to the nearest pool
    image of another duplicate group (Yoon et al. 2023; Gu et al. 2023, arXiv 2310.02664).

    Of a latent model a pool image is as near as the nearer of two: the image, and what the autoencoder makes of it by
    one encode and decode. The choices say for how many images it is the latter, and the evidence for which.

    `memory_mib` bounds the memory of the search. `device` is where it runs: faiss on cpu, torch on cuda.
    Access: samples. Model calls: those of the samples only. It finds only what the sampler emits, and it recognizes a
    copy only if it is near in pixels.
    """

    access = "samples"
    extracts = True
    summary = "the pool images nearest to generated ones, by an adaptive score and fixed rules"

    alpha: Annotated[float, Gt(0)] = 0.5
    neighbours: Annotated[int, Ge(2)] = 50
    center: Literal["generated", "real"] = "generated"
    distance: Annotated[float, Ge(0)] = 0.15
    tiles: Annotated[int, Ge(1)] = 1
    ratio: Annotated[float, Ge(0)] = 1 / 3
    memory_mib: Annotated[int, Ge(1)] = 1024
    device: str = "cpu"

    def minimum_pool(self) -> int:
        return self.neighbours + 1

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        pool = target.pool
        generated = flatten_unit(target.samples)
        distances, found, spread = self._candidates(generated, pool)
        scale = spread[:, None] if self.center == "generated" else self._spread_of_real(pool)[found]
        ratios = distances / (self.alpha * np.maximum(scale, np.finfo(np.float32).tiny))

        best = np.full(len(pool.images), np.inf)
        np.minimum.at(best, found.ravel(), ratios.ravel())
        known = np.isfinite(best)
        score = -np.where(known, best, max(1 / self.alpha, best[known].max()) * (1 + 1e-6))

        row, column = np.nonzero(ratios == best[found])
        nearest_sample = np.full(len(pool.images), -1, np.int64)
        nearest_sample[found[row, column][::-1]] = row[::-1]  # of several samples, the first by seed
        decoded = nearer_decoded(pool, target.samples, nearest_sample)
        through = {} if decoded is None else {DECODED: int(decoded.sum())}
        return Scores(
            score,
            matched={
                "adaptive": best < 1,
                "distance": self._by_distance(target.samples, pool, found[:, 0]),
                "ratio": self._by_ratio(distances, found, len(pool.images)),
            },
            evidence={
                "neighbours": found.astype(np.int32),
                "neighbour_scores": ratios.astype(np.float32),
                "nearest_sample": nearest_sample,
                **({} if decoded is None else {"nearer_decoded": decoded}),
            },
            choices={"center": self.center, "chosen by": "fixed beforehand", **through},
        )

    def _candidates(self, generated: np.ndarray, pool: PoolView) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distances [G, n] and pool indices [G, n], nearest first, each image once; and the mean distance to S [G]."""
        n = self.neighbours
        distances, found = nearest_neighbours(generated, flatten_unit(pool.images), n, self.memory_mib, self.device)
        spread = distances.mean(1)
        if len(pool.variants) == len(pool.images):
            return distances, found, spread
        # planted copies may differ from the original: a pool image is as near as its nearest variant
        near, variant = nearest_neighbours(generated, flatten_unit(pool.variants), n, self.memory_mib, self.device)
        distances = np.concatenate([distances, near], axis=1)
        found = np.concatenate([found, pool.variant_of[variant]], axis=1)
        order = np.lexsort((distances, found), axis=1)
        distances, found = np.take_along_axis(distances, order, 1), np.take_along_axis(found, order, 1)
        again = np.zeros(found.shape, bool)
        again[:, 1:] = found[:, 1:] == found[:, :-1]
        order = np.argsort(np.where(again, np.inf, distances), axis=1, kind="stable")[:, :n]
        return np.take_along_axis(distances, order, 1), np.take_along_axis(found, order, 1), spread

    def _spread_of_real(self, pool: PoolView) -> np.ndarray:
        """Mean distance of each pool image to its n nearest others, [P]."""
        real = flatten_unit(pool.images)
        distances, _ = nearest_neighbours(real, real, self.neighbours + 1, self.memory_mib, self.device)
        spread: np.ndarray = distances[:, 1:].mean(1)
        return spread

    def _by_distance(self, samples: np.ndarray, pool: PoolView, nearest: np.ndarray) -> np.ndarray:
        height, width = samples.shape[2:]
        if height % self.tiles or width % self.tiles:
            raise InputError(
                f"attacks.extraction.tiles is {self.tiles}; it must divide the image size {height}x{width}"
            )
        matched = np.zeros(len(pool.images), bool)
        for g, x in enumerate(nearest):
            seen = (
                pool.variants[pool.variant_of == x] if len(pool.variants) > len(pool.images) else pool.images[x][None]
            )
            squared = ((samples[g].astype(np.float32) - seen.astype(np.float32)) / 255) ** 2
            tiled = squared.reshape(len(seen), -1, self.tiles, height // self.tiles, self.tiles, width // self.tiles)
            farthest = np.sqrt(tiled.mean(axis=(1, 3, 5))).max(axis=(1, 2))
            matched[x] |= farthest.min() < self.distance
        return matched

    def _by_ratio(self, distances: np.ndarray, found: np.ndarray, pool_size: int) -> np.ndarray:
        copied = distances[:, 0] < self.ratio * distances[:, 1]
        matched = np.zeros(pool_size, bool)
        matched[found[copied, 0]] = True
        return matched
