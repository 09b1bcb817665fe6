"""Extraction from the captions of the images that are far from all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le

from leakfront.attacks import Generated, GenerationContext, register
from leakfront.attacks.outlier import farthest, outlierness
from leakfront.attacks.prompts.generations import generated_for
from leakfront.attacks.prompts.judging import JudgedByCliques


@dataclass(frozen=True)
class GenerationsOfOutliers:
    """`repeats` images for the captions of the pool images that are farthest from all others.

    These are the share `fraction` of the pool with the highest mean distance to their `neighbours` nearest, in the
    space of the run's features; members and decoys count alike.
    """

    served: ClassVar[bool] = True

    repeats: int
    neighbours: int
    fraction: float

    def images(self, pool: int, samples: int) -> float:
        return self.repeats * max(1, round(self.fraction * pool))

    def generate(self, context: GenerationContext) -> Generated:
        chosen = farthest(outlierness(context.pool.features, self.neighbours), self.fraction)
        return generated_for(context, chosen, self.repeats)


@register("outlier_by_prompt")
@dataclass(frozen=True)
class OutlierByPrompt(JudgedByCliques):
    """Extraction of outliers by their captions (Carlini et al. 2023, arXiv 2301.13188, §4.3).

    The captions of the pool images that are farthest from all others are asked for `samples_per_prompt` times. These
    are the share `fraction` of the pool with the highest mean distance to their `neighbours` nearest other pool images,
    in the space of the run's features. The choice is blind to the coins and to planned copies. What comes back is
    judged as in `generate_by_prompt`, with its score and rules, by `clique`, `tiles`, `quantiles` and
    `default_quantile`. All pairs that are not asked for share one score, below the others.

    It looks for what duplicates do not explain: an image that is like no other may be memorized though it is there
    once. The source found three such images of 500 in Imagen.
    Access: samples. Model calls per caption asked for: samples_per_prompt x sampler steps, twice that with guidance.
    """

    summary = "captions of the pool images farthest from all others, if they give these again and again"

    neighbours: Annotated[int, Ge(1)] = 5
    fraction: Annotated[float, Gt(0), Le(1)] = 0.05

    def minimum_pool(self) -> int:
        return self.neighbours + 1

    @property
    def generation(self) -> GenerationsOfOutliers:
        return GenerationsOfOutliers(self.samples_per_prompt, self.neighbours, self.fraction)
