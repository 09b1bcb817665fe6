"""What attacks share that look for cliques among the generations of each caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Interval, MinLen

from leakfront.attacks.contract import Attack, Generation, PoolView, Scores, Shadow, Target
from leakfront.attacks.extraction import nearer_decoded
from leakfront.attacks.generate_and_filter import check_tiles, nearest_other, tiled_distances
from leakfront.attacks.prompts.cliques import smallest_clique
from leakfront.attacks.prompts.distances import distances_up_to
from leakfront.attacks.prompts.generations import representatives
from leakfront.errors import InputError

DECODED = "extracted images whose clique is nearer to them after one encode and decode"
LOWEST = -2.0  # the score of pairs whose caption was not asked for; the others lie in [-1, 0]
SHOWN = 5  # images of a clique that are kept for a person to look at, the medoid first
NOTHING, NOT_FLAGGED = -1, -2  # what a clique shows, instead of a pool image
Share = Annotated[float, Interval(ge=0, le=1)]


@dataclass
class _Found:
    """What the generations for each pair's caption show; arrays [P], and of pairs that were not asked for inf or -1.

    height: the smallest d at which the caption has a clique. own: the distance from the clique's medoid to the pair's
    own image. nearest: the pool image nearest to the medoid, and beyond: its distance. clique: the images of the clique
    by their places among all generated ones, [P, k]. bounds: how many captions have an upper bound for their height.
    """

    height: np.ndarray
    own: np.ndarray
    nearest: np.ndarray
    beyond: np.ndarray
    clique: np.ndarray
    bounds: int = 0

    def flagged(self, distance: float) -> np.ndarray:
        return self.height <= distance

    def extracted(self, distance: float) -> np.ndarray:
        return self.flagged(distance) & (self.own <= distance)

    def shows(self, distance: float) -> np.ndarray:
        """The pool image that each flagged caption's clique shows; -1 if it shows none, -2 if it is not flagged."""
        shown = np.where(self.beyond <= distance, self.nearest, NOTHING)
        found: np.ndarray = np.where(self.flagged(distance), shown, NOT_FLAGGED)
        return found


@dataclass(frozen=True)
class JudgedByCliques(Attack):
    """An attack that asks for captions again and again, and judges each by the tightest clique of what comes back."""

    access = "samples"
    extracts = True
    needs_captions = True
    shadows = "choices"

    samples_per_prompt: Annotated[int, Interval(ge=2, le=100_000)] = 64
    clique: Annotated[int, Ge(2)] = 10
    tiles: Annotated[int, Ge(1)] = 4
    quantiles: Annotated[tuple[Share, ...], MinLen(1)] = (0.05, 0.1, 0.2, 0.3)
    default_quantile: Share = 0.2

    def validate(self) -> None:
        if self.samples_per_prompt < self.clique:
            raise InputError(
                f"{self.where()}.samples_per_prompt is {self.samples_per_prompt}; it must be at least clique, "
                f"{self.clique}"
            )

    @property
    def generation(self) -> Generation:
        """The generations by caption."""
        raise NotImplementedError

    def generations(self) -> list[Generation]:
        return [self.generation]

    @property
    def largest_quantile(self) -> float:
        """The quantile of the largest d that can be chosen."""
        return max(*self.quantiles, self.default_quantile)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        check_tiles(self.where(), self.tiles, target.pool.images)
        apart = nearest_other(target.pool.images, self.tiles)
        limit = float(np.quantile(apart, self.largest_quantile))
        quantile, reason = self._chosen(apart, [(self._found(known, limit), known.members) for known in shadows])
        distance = float(np.quantile(apart, quantile))
        found = self._found(target, limit)
        asked = np.isfinite(found.height)
        spent: dict[str, Any] = {"captions left to complete linkage": found.bounds} if found.bounds else {}
        decoded = nearer_decoded(target.pool, target.generated[self.generation]["images"], found.clique[:, 0])
        spent |= {} if decoded is None else {DECODED: int((decoded & found.extracted(distance)).sum())}
        return Scores(
            np.where(asked, -np.minimum(found.height, 1), LOWEST),
            extraction=np.where(asked, -np.minimum(np.maximum(found.height, found.own), 1), LOWEST),
            matched={
                "flagged": found.flagged(distance),
                "extracted": found.extracted(distance),
                "any_prompt": np.isin(np.arange(len(asked)), found.shows(distance)),
            },
            evidence=_evidence(target.generated[self.generation]["images"], found, distance),
            choices={"distance": distance, "quantile": quantile, "chosen by": reason, "captions": int(asked.sum()),
                     **spent},
        )  # fmt: skip

    def _chosen(self, apart: np.ndarray, known: Sequence[tuple[_Found, np.ndarray]]) -> tuple[float, str]:
        """The quantile of the distances `apart`, and how it was chosen, from shadow models with their coins."""
        if not known:
            return self.default_quantile, "the default quantile (no shadow model)"
        candidates = sorted(self.quantiles)
        excess = []
        for quantile in candidates:
            found = [(found.extracted(float(np.quantile(apart, quantile))), members) for found, members in known]
            excess.append(sum(int(mask[members].sum()) - int(mask[~members].sum()) for mask, members in found))
        if max(excess) <= 0:
            return self.default_quantile, f"the default quantile (nothing extracted on {len(known)} shadow models)"
        best = candidates[int(np.argmax(excess))]
        return best, f"most members beyond decoys extracted on {len(known)} shadow models"

    def _found(self, model: Target, limit: float) -> _Found:
        """What the generations of a model show; distances up to `limit` are exact."""
        pool, generated = model.pool, model.generated[self.generation]
        images, prompt = generated["images"], generated["prompt"]
        size, places = len(pool.images), np.full((len(pool.images), self.clique), -1)
        heights, beyond = np.full(size, np.inf), np.full(size, np.inf)
        own, nearest, bounds = np.full(size, np.inf), np.full(size, -1), 0
        first = representatives(pool)
        for one in np.unique(prompt).tolist():
            rows = np.flatnonzero(prompt == one)
            clique = smallest_clique(distances_up_to(images[rows], self.tiles, limit), self.clique)
            medoid = images[rows[clique.rows[:1]]]
            to_image = _to_pool(medoid, pool, self.tiles)
            pairs = np.flatnonzero(first == one)
            heights[pairs], own[pairs], places[pairs] = clique.distance, to_image[pairs], rows[clique.rows]
            nearest[pairs], beyond[pairs] = int(to_image.argmin()), to_image.min()
            bounds += not clique.exact
        return _Found(heights, own, nearest, beyond, places, bounds)


def _evidence(images: np.ndarray, found: _Found, distance: float) -> dict[str, np.ndarray]:
    """Arrays for rows and for a person who looks at what was found.

    "clique_shows" int64 [P]: see `_Found.shows`. "asked" bool [P]. Of the F flagged captions, the tightest clique
    first: "copies_prompt" int64 [F], the pair, and "copies_images" uint8 [F, 5, C, H, W], some of its clique, the
    medoid first (at most 5), with "copies_distance" [F], its h_k, and "copies_own" [F], the medoid's distance to the
    pair's own image.
    """
    pairs = np.flatnonzero(found.flagged(distance))
    pairs = pairs[np.argsort(found.height[pairs], kind="stable")]
    return {
        "clique_shows": found.shows(distance),
        "asked": np.isfinite(found.height),
        "copies_prompt": pairs,
        "copies_images": images[found.clique[pairs, :SHOWN]],
        "copies_distance": found.height[pairs],
        "copies_own": found.own[pairs],
    }


def _to_pool(image: np.ndarray, pool: PoolView, tiles: int) -> np.ndarray:
    """The distances of one image [1, C, H, W] to all pool images, [P]: to the nearest of an image's variants."""
    distances = np.full(len(pool.images), np.inf)
    np.minimum.at(distances, pool.variant_of, tiled_distances(image, pool.variants, tiles)[0])
    return distances
