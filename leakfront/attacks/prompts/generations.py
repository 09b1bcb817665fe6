"""Generations asked for by the captions of the pool, which several attacks share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import numpy as np

from leakfront.attacks import Generated, GenerationContext, PoolView
from leakfront.attacks.generate_and_filter import nearest_other
from leakfront.attacks.prompt_alignment import PromptAlignment
from leakfront.attacks.prompts.cliques import smallest_clique
from leakfront.attacks.prompts.distances import distances_up_to
from leakfront.seeds import derive_seed

PROMPTS = 64  # asked for together, and kept if the run is interrupted
SEEDS = 2**63
Order = Literal["blind", "alignment"]
Reduction = Callable[[np.ndarray], np.ndarray]  # the images of a caption [N, C, H, W] -> the rows that are kept


@dataclass(frozen=True)
class GenerationsByPrompt:
    """`repeats` images for the caption of each pair that is asked for, members and decoys alike.

    These are all pairs that are planted several times, and of the others `once`, in an order that depends on captions
    alone; all if it is 0. Pairs with one caption share their images, whose prompt is the first of these pairs. The i-th
    image of a caption depends on the caption and i alone.
    """

    served: ClassVar[bool] = True

    repeats: int
    once: int = 0

    def images(self, pool: int, samples: int) -> float:
        return self.repeats * (min(self.once, pool) or pool)

    def kept(self, pool: int) -> float:
        """How many images stay in memory and on disk."""
        return self.images(pool, 0)

    def generate(self, context: GenerationContext) -> Generated:
        return generated_for(context, self.asked(context.pool), self.repeats)

    def asked(self, pool: PoolView) -> np.ndarray:
        """The pairs whose captions are asked for, bool [P]."""
        return self.first_of(pool, np.zeros(len(pool.images)))

    def first_of(self, pool: PoolView, scores: np.ndarray) -> np.ndarray:
        """The pairs that are asked for, where those with the highest scores [P] go first."""
        several = pool.copies > 1
        singles = np.flatnonzero(~several).tolist()
        order = sorted(singles, key=lambda pair: (-scores[pair], _seed(pool.conditions[pair])))
        mask: np.ndarray = several.copy()
        mask[order[: self.once or len(order)]] = True
        return mask


@dataclass(frozen=True)
class ChosenGenerations(GenerationsByPrompt):
    """The same with another order, or of which not all are kept.

    order: "alignment", the captions go first that `prompt_alignment` with its defaults scores highest. tightest: of
    each caption only the images of its tightest clique are kept, of `clique` images by `tiles`, as long as h_k does not
    exceed the `quantile` of the distances of pool images to their nearest other one; all where the search was cut
    short. What is found by this clique is the same as by all.
    """

    order: Order = "blind"
    tightest: bool = False
    clique: int = 10
    tiles: int = 4
    quantile: float = 0.3

    def kept(self, pool: int) -> float:
        return self.images(pool, 0) * (self.clique / self.repeats if self.tightest else 1)

    def generate(self, context: GenerationContext) -> Generated:
        asked = self.asked(context.pool)
        if self.order == "alignment":
            alignment = PromptAlignment()
            measured = context.signals[alignment.signal]
            asked = self.first_of(context.pool, alignment.by_weight(measured, alignment.default_weight))
        if not self.tightest:
            return generated_for(context, asked, self.repeats)
        limit = float(np.quantile(nearest_other(context.pool.images, self.tiles), self.quantile))
        return generated_for(context, asked, self.repeats, partial(self._tightest, limit))

    def _tightest(self, limit: float, images: np.ndarray) -> np.ndarray:
        """The rows that are kept, in order."""
        found = smallest_clique(distances_up_to(images, self.tiles, limit), self.clique)
        return np.sort(found.rows) if found.exact else np.arange(len(images))


def generated_for(
    context: GenerationContext, pairs: np.ndarray, repeats: int, reduction: Reduction | None = None
) -> Generated:
    """`repeats` images for the caption of each of some pairs, bool [P], or those that the `reduction` keeps.

    See `GenerationsByPrompt`.
    """
    asked = np.unique(representatives(context.pool)[pairs])
    images, counts = [], []
    for first in range(0, len(asked), PROMPTS):
        block = asked[first : first + PROMPTS]
        make = partial(_images_of, context, block, repeats, reduction)
        part = context.keep(f"prompts {block.tolist()}", make)
        images.append(part["images"])
        counts.append(part["counts"])
    return Generated(np.concatenate(images), np.repeat(asked, np.concatenate(counts)))


def _images_of(
    context: GenerationContext, prompts: np.ndarray, repeats: int, reduction: Reduction | None
) -> dict[str, np.ndarray]:
    """ "images" of all prompts, one after the other, and "counts", how many each has."""
    if reduction is None:
        return {"images": _asked_for(context, prompts, repeats), "counts": np.full(len(prompts), repeats)}
    kept = []
    for prompt in prompts:
        images = _asked_for(context, prompt[None], repeats)
        kept.append(images[reduction(images)])
    return {"images": np.concatenate(kept), "counts": np.array([len(images) for images in kept])}


def _asked_for(context: GenerationContext, prompts: np.ndarray, repeats: int) -> np.ndarray:
    conditions = np.repeat(context.pool.conditions[prompts], repeats, axis=0)
    firsts = [_seed(context.pool.conditions[prompt]) for prompt in prompts.tolist()]
    seeds = [(first + number) % SEEDS for first in firsts for number in range(repeats)]
    return context.sample(conditions, seeds)


def representatives(pool: PoolView) -> np.ndarray:
    """For each pair the first pair with the same condition, int64 [P]: their generations are the same."""
    rows = pool.conditions.reshape(len(pool.conditions), -1)
    _, first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    found: np.ndarray = first[group.reshape(-1)]
    return found


def _seed(condition: np.ndarray) -> int:
    """The seed of the first image of a condition, int64 [...]."""
    return derive_seed("prompt", *condition.reshape(-1).tolist())
