"""Extraction by inpainting one half of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.errors import InputError

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries

FIRST_DRAW = 1000  # the first draw of the noise for inpainting; no other attack draws so many
RANKING_DRAW = 0


@dataclass(frozen=True)
class Inpaintings:
    """The images with their left half inpainted `repeats` times; only the `keep` results of lowest loss count.

    "errors" [N]: their mean l2 on the left half, the root mean square difference of pixels in [0, 1]. "best" uint8
    [N, C, H, W]: the result of lowest loss at `loss_timestep`, which need not be the nearest to the image.
    """

    repeats: int
    keep: int
    steps: int
    loss_timestep: int

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        completed = [self._inpaint(queries, repeat) for repeat in range(self.repeats)]
        order = torch.stack([self._loss(queries, x) for x in completed], dim=1).argsort(dim=1, stable=True)

        images, completed = queries.images, [queries.decode(x) for x in completed]
        masked = _left_half(images)
        differences = [(x - images)[..., masked].flatten(1) / 2 for x in completed]  # [-1, 1] is twice as wide
        errors = torch.stack([d.square().mean(1).sqrt() for d in differences], dim=1)
        best = torch.stack(completed, dim=1)[torch.arange(len(order), device=order.device), order[:, 0]]
        return {
            "errors": errors.gather(1, order[:, : self.keep]).mean(1),
            "best": ((best + 1) * 127.5).round().to(torch.uint8),
        }

    def _inpaint(self, queries: Queries, repeat: int) -> torch.Tensor:
        """x_0 of the images with its left half filled in by the model; in pixel space within [-1, 1]."""
        import torch

        spacing = queries.timesteps // self.steps
        alpha_bar = queries.alphas_cumprod
        first = FIRST_DRAW + repeat * self.steps
        x, masked = queries.start(first), _left_half(queries.x_0())
        for step in range(self.steps):
            t = (self.steps - 1 - step) * spacing
            x_t = torch.where(masked, x, queries.noised(queries.noise(first + step), t))
            predicted = queries.predict(x_t, t)
            x_0 = (x_t - (1 - alpha_bar[t]).sqrt() * predicted) / alpha_bar[t].sqrt()
            x_0 = x_0.clamp(-1, 1) if queries.in_pixels else x_0
            before = alpha_bar[t - spacing] if t else torch.ones_like(alpha_bar[0])
            x = before.sqrt() * x_0 + (1 - before).sqrt() * predicted
        return torch.where(masked, x, queries.x_0())

    def _loss(self, queries: Queries, x_0: torch.Tensor) -> torch.Tensor:
        """The denoising loss of x_0 at `loss_timestep`, [N]."""
        alpha_bar, noise = queries.alphas_cumprod[self.loss_timestep], queries.noise(RANKING_DRAW)
        predicted = queries.predict(alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * noise, self.loss_timestep)
        loss: torch.Tensor = (predicted - noise).square().flatten(1).mean(1)
        return loss


def _left_half(images: torch.Tensor) -> torch.Tensor:
    """The columns of the left half of images [N, C, H, W], bool [W]."""
    import torch

    width = images.shape[3]
    return torch.arange(width, device=images.device) < width / 2


@register("inpainting")
@dataclass(frozen=True)
class Inpainting(Attack):
    """Inpainting (Carlini et al. 2023, arXiv 2301.13188, §5.3).

    The left half of an image is masked and inpainted `repeats` times. The `keep` results with the lowest loss under
    the model, at `loss_timestep`, count. The score is minus their mean l2 to the image on the masked half. A model that
    restores the half has seen the image.

    Inpainting is deterministic DDIM with `steps` equidistant timesteps and x_0 clipped to [-1, 1]. Before each step,
    the known half is replaced by the true one with fresh noise of that level (RePaint, Lugmayr et al. 2022, arXiv
    2201.09865, without its resampling). All images share the noise of a repeat's start and steps. One further draw,
    shared by images and repeats, is for the loss.
    Evidence: "inpainted" uint8 [P, C, H, W], the result of lowest loss, and "errors" [P].
    The source repeats thousands of times and keeps the best ten. With few repeats, as by default, the choice by the
    loss does little, so the attack is weaker than there.
    Access: loss. Model calls per image: repeats x steps + repeats. It cannot tell a half that was learned from a half
    that is easy to guess (a blank margin, a symmetric object).
    """

    access = "loss"
    summary = "how well the model fills in the left half of an image"

    repeats: Annotated[int, Ge(1)] = 16
    keep: Annotated[int, Ge(1)] = 10
    steps: Annotated[int, Ge(1)] = 20
    loss_timestep: Annotated[int, Ge(0)] = 100

    def validate(self) -> None:
        if self.keep > self.repeats:
            raise InputError(f"{self.where()}.keep is {self.keep}; it must be at most repeats, {self.repeats}")

    @property
    def signal(self) -> Inpaintings:
        return Inpaintings(self.repeats, self.keep, self.steps, self.loss_timestep)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        measured = target.signals[self.signal]
        errors = measured["errors"]
        return Scores(
            -errors.astype(np.float64),
            evidence={"inpainted": measured["best"], "errors": errors},
            choices={"timestep of the loss": self.loss_timestep, "chosen by": "fixed beforehand"},
        )
