"""The gain of a fine-tuned model over the model that it was fine-tuned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge

from leakfront.attacks import Attack, Scores, Shadow, Target, Timesteps, register
from leakfront.attacks.shadow_models.choice import best_score

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries


@dataclass(frozen=True)
class GainsOverBase:
    """The base model's ||eps_theta(x_t, t) - eps||^2 minus the model's, means over values and over `draws` draws of
    eps, which both share: "gains" [N, T]."""

    timesteps: tuple[int, ...]
    draws: int

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        def gain(t: int) -> torch.Tensor:
            return torch.stack([queries.base.loss(i, t) - queries.loss(i, t) for i in range(self.draws)]).mean(0)

        return {"gains": torch.stack([gain(t) for t in self.timesteps], dim=1)}


@register("base_ratio")
@dataclass(frozen=True)
class BaseRatio(Attack):
    """The ratio of likelihoods under a fine-tuned model and its base, in units of the loss.

    It is difficulty calibration (Watson et al. 2022, arXiv 2111.08440) with the base model as the reference, which no
    pool image trained; in this form it is this project's own. The score is the error of the base minus that of the
    model, ||eps_theta(x_t, t, c) - eps||^2 with the same noise, averaged over draws and timesteps. With shadow models,
    other fine-tunes of the same base, a single timestep replaces the mean if its mean AUC on them is higher by more
    than `margin` standard errors.
    Access: loss. Model calls per image: 2 x draws x timesteps (40), half of them to the base. Without a base it is left
    out. If the base saw an image, its gain is small: that one is told from no decoy.
    """

    access = "loss"
    needs_base = True
    shadows = "choices"
    summary = "how much lower the error is than under the model that this one was fine-tuned from"

    timesteps: Timesteps = (50, 100, 200, 300, 450)
    draws: Annotated[int, Ge(1)] = 4
    margin: Annotated[float, Ge(0)] = 2.0

    @property
    def signal(self) -> GainsOverBase:
        return GainsOverBase(self.timesteps, self.draws)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        def scores(model: Target) -> dict[tuple[int, ...], np.ndarray]:
            gains = model.signals[self.signal]["gains"].astype(np.float64)
            return {self.timesteps: gains.mean(1), **{(t,): gains[:, i] for i, t in enumerate(self.timesteps)}}

        score, chosen, reason = best_score(target, shadows, scores, self.timesteps, margin=self.margin)
        return Scores(score, choices={"timesteps": list(chosen), "chosen by": reason})
