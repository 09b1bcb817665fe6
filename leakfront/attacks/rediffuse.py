"""Reconstruction from noised copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.errors import InputError

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries


@dataclass(frozen=True)
class ReconstructionErrors:
    """||mean of reconstructions - x_0||_p, each from another noise at t by DDIM, `interval` a step: "errors" [N]."""

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
        difference = (mean - queries.images).flatten(1)
        return {"errors": torch.linalg.vector_norm(difference, self.norm, dim=1)}


@register("rediffuse")
@dataclass(frozen=True)
class ReDiffuse(Attack):
    """ReDiffuse (Li et al. 2025, "Towards black-box membership inference attack for diffusion models", arXiv
    2405.20771, Algorithm 1).

    The image is noised to t and denoised by deterministic DDIM in steps of `interval`, `repeats` times; the errors of a
    member's reconstructions are unbiased and cancel in their mean. Score: minus the l_p distance of that mean from the
    image, p = `norm`. The authors' code compares by l_2 for diffusion transformers, by SSIM for Stable Diffusion, and
    for DDIM by a ResNet-18 that is trained on the absolute differences of a fifth of the members and non-members under
    attack; here it is l_2 throughout, and nothing is learned or chosen. t = 200 and steps of 100 are those of its DDIM.
    Access: loss; an interface that returns variations of an image would do. Model calls per image: repeats x timestep /
    interval (20), of which the first of each repeat is shared with other attacks. Images that any model reconstructs
    well, members or not, come first: it has no idea of how hard an image is.
    """

    access = "loss"
    summary = "distance of the mean of reconstructions from the image"

    timestep: int = 200
    interval: int = 100
    repeats: int = 10
    norm: float = 2.0

    def __post_init__(self) -> None:
        for key in ("interval", "repeats"):
            if getattr(self, key) < 1:
                raise InputError(f"attacks.rediffuse.{key} is {getattr(self, key)}; it must be at least 1")
        if self.timestep < 1 or self.timestep % self.interval:
            raise InputError(
                f"attacks.rediffuse.timestep is {self.timestep}; it must be a multiple of the interval, {self.interval}"
            )
        if not self.norm > 0:
            raise InputError(f"attacks.rediffuse.norm is {self.norm}; it must be above 0")

    def signals(self) -> list[ReconstructionErrors]:
        return [ReconstructionErrors(self.timestep, self.interval, self.repeats, self.norm)]

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        errors = target.signals[self.signals()[0]]["errors"].astype(np.float64)
        return Scores(-errors, choices={"timestep": self.timestep, "chosen by": "the source's default"})
