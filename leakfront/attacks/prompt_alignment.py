"""How strongly a caption steers, and whether it steers the way that the model goes without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge, MinLen

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.attacks.queries.given import Null
from leakfront.attacks.queries.prompts import length, steering
from leakfront.attacks.shadow_models.choice import best_score

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries


@dataclass(frozen=True)
class PromptAlignments:
    """At pure noise x_T, with d = eps_theta(x_T, t, c) - eps_theta(x_T, t, null): "magnitude" [N], ||d||_2 at
    `timestep`, and "alignment" [N], the mean of cos(eps_theta(x_T, t, null), d) at `late_timestep`.

    The cosine is that over channels at each position, and over all values if there is one channel.
    """

    timestep: int
    late_timestep: int

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        without, moved = (
            queries.prompt_prediction(0, self.late_timestep, Null()),
            steering(queries, 0, self.late_timestep),
        )
        if moved.shape[1] == 1:
            without, moved = without.flatten(1), moved.flatten(1)
        cosine = torch.nn.functional.cosine_similarity(without, moved, dim=1)
        alignment = cosine.reshape(len(cosine), -1).mean(1)
        return {"magnitude": length(steering(queries, 0, self.timestep)), "alignment": alignment}


@register("prompt_alignment")
@dataclass(frozen=True)
class PromptAlignment(Attack):
    """Anisotropy of the log-probability (Asthana and Belagiannis 2026, arXiv 2601.20642; numbers from its code).

    At pure noise, let d be the noise prediction for the caption minus that for the empty one. The score of a pair is
    ||d||_2 at `timestep`, the first of a plan of 50, plus a weight times the mean cosine of d and the empty caption's
    prediction at `late_timestep`, the third last of the plan, where the same pure noise is shown as if it were nearly
    clean. The cosine is that over channels at each position; over all values if there is only one channel. The source's
    weight is 2 for Stable Diffusion 1, the default here, and 0.1 for Stable Diffusion 2, set on its test data. With
    shadow models, another of `weights` replaces it if its mean AUC on them is higher by more than `margin` standard
    errors. All pairs share the noise.
    Access: loss. Model calls per image: 4. It looks at captions alone: members that were seen once score like decoys.
    """

    access = "loss"
    needs_captions = True
    needs_null = True
    of_captions = True
    shadows = "choices"
    summary = "how far, and in which direction, a caption moves the noise prediction at pure noise"

    timestep: Annotated[int, Ge(0)] = 980
    late_timestep: Annotated[int, Ge(0)] = 40
    weights: Annotated[tuple[Annotated[float, Ge(0)], ...], MinLen(1)] = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
    default_weight: Annotated[float, Ge(0)] = 2.0
    margin: Annotated[float, Ge(0)] = 2.0

    @property
    def signal(self) -> PromptAlignments:
        return PromptAlignments(self.timestep, self.late_timestep)

    def by_weight(self, measured: Mapping[str, np.ndarray], weight: float) -> np.ndarray:
        """The scores [P] of pairs under one weight, by what was measured of them."""
        magnitude, alignment = (measured[name].astype(np.float64) for name in ("magnitude", "alignment"))
        return magnitude + weight * alignment

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        weights = dict.fromkeys((self.default_weight, *self.weights))

        def scores(model: Target) -> dict[float, np.ndarray]:
            return {weight: self.by_weight(model.signals[self.signal], weight) for weight in weights}

        score, weight, reason = best_score(target, shadows, scores, self.default_weight, margin=self.margin)
        return Scores(score, choices={"weight": weight, "chosen by": reason})
