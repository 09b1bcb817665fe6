"""Generations asked for by the captions of the pool, which several attacks share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from leakfront.attacks import Generated, GenerationContext, PoolView
from leakfront.seeds import derive_seed

PROMPTS = 64  # asked for together, and kept if the run is interrupted
SEEDS = 2**63


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

    def generate(self, context: GenerationContext) -> Generated:
        return generated_for(context, self.asked(context.pool), self.repeats)

    def asked(self, pool: PoolView) -> np.ndarray:
        """The pairs whose captions are asked for, bool [P]."""
        several = pool.copies > 1
        order = sorted(np.flatnonzero(~several).tolist(), key=lambda pair: _seed(pool.conditions[pair]))
        mask: np.ndarray = several.copy()
        mask[order[: self.once or len(order)]] = True
        return mask


def generated_for(context: GenerationContext, pairs: np.ndarray, repeats: int) -> Generated:
    """`repeats` images for the caption of each of some pairs, bool [P]; see `GenerationsByPrompt`."""
    asked = np.unique(representatives(context.pool)[pairs])
    parts = []
    for first in range(0, len(asked), PROMPTS):
        block = asked[first : first + PROMPTS]
        parts.append(context.keep(f"prompts {first}", partial(_images_of, context, block, repeats))["images"])
    return Generated(np.concatenate(parts), np.repeat(asked, repeats))


def _images_of(context: GenerationContext, prompts: np.ndarray, repeats: int) -> dict[str, np.ndarray]:
    conditions = np.repeat(context.pool.conditions[prompts], repeats, axis=0)
    firsts = [_seed(context.pool.conditions[prompt]) for prompt in prompts.tolist()]
    seeds = [(first + number) % SEEDS for first in firsts for number in range(repeats)]
    return {"images": context.sample(conditions, seeds)}


def representatives(pool: PoolView) -> np.ndarray:
    """For each pair the first pair with the same condition, int64 [P]: their generations are the same."""
    rows = pool.conditions.reshape(len(pool.conditions), -1)
    _, first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    found: np.ndarray = first[group.reshape(-1)]
    return found


def _seed(condition: np.ndarray) -> int:
    """The seed of the first image of a condition, int64 [...]."""
    return derive_seed("prompt", *condition.reshape(-1).tolist())
