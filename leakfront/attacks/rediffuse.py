"""Reconstruction of an image from noised copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge, Gt

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.attacks.shadow_models.calibration import in_calibrated_form
from leakfront.attacks.shadow_models.choice import best_score, source_default
from leakfront.errors import InputError

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries


@dataclass(frozen=True)
class ReconstructionErrors:
    """||mean of reconstructions - x_0||_p: "errors" [N]. Each reconstruction starts from another noise at t and goes
    down by DDIM, `interval` timesteps a step."""

    timestep: int
    interval: int
    repeats: int
    norm: float

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        def reconstruction(draw: int) -> torch.Tensor:
            x = queries.noised(queries.noise(draw), self.timestep)
            for t in range(self.timestep, 0, -self.interval):
                first = t == self.timestep
                noise = queries.noisy_prediction(draw, t) if first else queries.predict(x, t)
                x = queries.ddim_step(x, noise, t, t - self.interval)
            return x

        mean = torch.stack([reconstruction(draw) for draw in range(self.repeats)]).mean(0)
        difference = (mean - queries.x_0()).flatten(1)
        return {"errors": torch.linalg.vector_norm(difference, self.norm, dim=1)}


@register("rediffuse")
@dataclass(frozen=True)
class ReDiffuse(Attack):
    """ReDiffuse (Li et al. 2025, "Towards black-box membership inference attack for diffusion models", arXiv
    2405.20771, Algorithm 1).

    The image is noised to t and denoised by deterministic DDIM in steps of `interval`, `repeats` times. The errors of a
    member's reconstructions are unbiased, so they cancel in the mean. The score is minus the l_p distance between that
    mean and the image, p = `norm`. The authors' code compares by l_2 for diffusion transformers and by SSIM for Stable
    Diffusion. For DDIM it compares by a ResNet-18, trained on the absolute differences of a fifth of the members and
    non-members under attack. Here the comparison is always by l_2, and nothing is learned or chosen.
    With `calibrated`, the logarithm of the error is compared with what it would be if the image were no member (see
    leakfront/attacks/shadow_models/calibration.py). t = 200 and steps
    of 100 are the settings of its DDIM.
    Access: loss; an interface that returns variations of an image is enough. Model calls per image: repeats x timestep
    / interval (20); the first call of each repeat is shared with other attacks. Images that every model reconstructs
    well come first, members or not, because the attack does not know how hard an image is.
    """

    access = "loss"
    summary = "the distance between an image and the mean of its reconstructions"

    timestep: Annotated[int, Ge(1)] = 200
    interval: Annotated[int, Ge(1)] = 100
    repeats: Annotated[int, Ge(1)] = 10
    norm: Annotated[float, Gt(0)] = 2.0
    calibrated: bool = False

    def validate(self) -> None:
        if self.timestep % self.interval:
            raise InputError(
                f"{self.where()}.timestep is {self.timestep}; it must be a multiple of interval, {self.interval}"
            )

    @property
    def signal(self) -> ReconstructionErrors:
        return ReconstructionErrors(self.timestep, self.interval, self.repeats, self.norm)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        def scores(model: Target) -> dict[int, np.ndarray]:
            return {self.timestep: -in_calibrated_form(model.signals[self.signal]["errors"], self.calibrated)}

        score = best_score(target, shadows, scores, self.timestep, self.calibrated)[0]
        return Scores(score, choices={"timestep": self.timestep, "chosen by": source_default(self, shadows)})
