"""How sharply a caption bends the score at pure noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakfront.attacks import register
from leakfront.attacks.prompts.pure_noise import AtPureNoise, ValuesAtPureNoise
from leakfront.attacks.queries.given import Null
from leakfront.attacks.queries.prompts import length, steering

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries


@dataclass(frozen=True)
class PromptCurvatures(ValuesAtPureNoise):
    """||(J_c - J_null)(s_c - s_null)||_2 at pure noise shown as timestep t, the mean over draws of it: "values" [N, T].

    s_c = -eps_theta(x_T, t, c) / sqrt(1 - ab_t), J_c: its Jacobian in x_T.
    """

    def of_draw(self, queries: Queries, t: int, draw: int) -> torch.Tensor:
        x, along = queries.start(draw), steering(queries, draw, t)
        bent = queries.derivative(x, t, along) - queries.derivative(x, t, along, Null())
        return length(bent) / (
            1 - queries.alphas_cumprod[t]
        )  # both the direction and the Jacobian have 1 / sqrt(1 - ab)


@register("prompt_curvature")
@dataclass(frozen=True)
class PromptCurvature(AtPureNoise):
    """Sharpness of the probability landscape along the caption's direction (Jeon et al. 2025, arXiv 2412.04140).

    With the score s_c = -eps_theta(x_T, t, c) / sqrt(1 - ab_t), a memorized caption bends it more than the empty one:
    the score of a pair is the mean over `draws` of the start noise of ||(J_c - J_null)(s_c - s_null)||_2, J the
    Jacobian of s in x_T, along one direction by forward-mode differentiation, as in the source's code. t is the first
    timestep of a plan of 50 steps; with shadow models, another one replaces it if its mean AUC on them is higher by
    more than `margin` standard errors. All pairs share the start noise.
    Access: gradients. Model calls per image: 6 x draws x timesteps (72), where a derivative counts as 2. It looks at
    captions alone: members that were seen once score like decoys. Made for the latents of large models, it is weaker in
    the pixels of small images.
    """

    access = "gradients"
    summary = "how sharply a caption bends the noise prediction at pure noise"

    @property
    def signal(self) -> PromptCurvatures:
        return PromptCurvatures(self.timesteps, self.draws)
