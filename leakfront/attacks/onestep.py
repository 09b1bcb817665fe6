"""The image of a single step from pure noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from leakfront.attacks import Attack, Scores, Shadow, Target, Timesteps, register
from leakfront.attacks.queries.given import Null
from leakfront.attacks.queries.prompts import steering
from leakfront.attacks.shadow_models.choice import highest_at_best_timestep

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries


@dataclass(frozen=True)
class OneSteps:
    """||x_T - D||^2, the mean over values and over `draws` of the noise x_T: "values" [N, T].

    D = (x_T - sqrt(1 - ab_t) eps_theta) / sqrt(ab_t): the image predicted from it with `guidance`, clipped to [-1, 1]
    in pixel space.
    """

    timesteps: tuple[int, ...]
    guidance: float
    draws: int

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        columns = [torch.stack([self._at(queries, t, draw) for draw in range(self.draws)]) for t in self.timesteps]
        return {"values": torch.stack([column.mean(0) for column in columns], dim=1)}

    def _at(self, queries: Queries, t: int, draw: int) -> torch.Tensor:
        alpha_bar, without = queries.alphas_cumprod[t], queries.prompt_prediction(draw, t, Null())
        noise = without + self.guidance * steering(queries, draw, t)
        image = (queries.start(draw) - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()
        image = image.clamp(-1, 1) if queries.in_pixels else image
        distance: torch.Tensor = (queries.start(draw) - image).square().flatten(1).mean(1)
        return distance


@register("onestep")
@dataclass(frozen=True)
class OneStep(Attack):
    """Denoising confidence of one step (Webster 2023, arXiv 2305.08694; the white-box score of its code).

    From pure noise, one step of Heun's solver with `guidance` ends at the predicted image D. For a memorized caption
    this is already a sharp image, for others a blurred mean of many. The score of a pair is ||x_T - D||^2, the mean
    over `draws` of the noise x_T. All pairs share the noise. In pixel space D is clipped to [-1, 1]. t is the first
    timestep of a plan of 50 steps; with shadow models, another one replaces it if its mean AUC on them is higher by
    more than `margin` standard errors.

    It differs from the source in two ways. There t is the last timestep, and x_T has the standard deviation
    sqrt((1 - ab_t) / ab_t), 14.6 in Stable Diffusion; here it has 1: in small images and at cosine noise levels the
    product of noise and image would hide all else. The source's second filter, on edges that several one-step images
    share, is left out, since it looks at images of 256 pixels.
    Access: loss. Model calls per image: 2 x draws x timesteps (6). It looks at captions alone: members that were seen
    once score like decoys. The source ranks millions of captions by it and generates images for the best alone.
    """

    access = "loss"
    needs_captions = True
    needs_null = True
    of_captions = True
    shadows = "choices"
    summary = "how much of an image one step from pure noise shows"

    timesteps: Timesteps = (700, 900, 980)
    guidance: Annotated[float, Ge(0)] = 7.5
    draws: Annotated[int, Ge(1)] = 1
    default_timestep: Annotated[int, Ge(0)] = 980
    margin: Annotated[float, Ge(0)] = 2.0

    @property
    def signal(self) -> OneSteps:
        return OneSteps(self.timesteps, self.guidance, self.draws)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        return highest_at_best_timestep(self, target, shadows)
