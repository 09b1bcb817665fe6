"""How well the model restores an image from a noised copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from leakfront.attacks import Attack, Scores, Shadow, Target, Timesteps, register

if TYPE_CHECKING:
    import torch

    from leakfront.attacks import Queries


@dataclass(frozen=True)
class Restored:
    """||x_0 - E[x_0 | x_t]||^2 for x_t noised with the first draw, summed over pixels: "errors" [N, T]."""

    timesteps: tuple[int, ...]

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        def error(t: int) -> torch.Tensor:
            noise = queries.noise(0)
            x_0 = queries.ddim_step(queries.noised(noise, t), queries.noisy_prediction(0, t), t, 0)
            return (x_0 - queries.images).square().flatten(1).sum(1)

        return {"errors": torch.stack([error(t) for t in self.timesteps], dim=1)}


@register("round_trip")
@dataclass(frozen=True)
class RoundTrip(Attack):
    """Reconstruction error (an example, 2025; after DDIM, Song et al. 2021, arXiv 2010.02502, Eq. 12).

    The score is minus the squared distance between an image and the model's estimate of it from a noised copy, the
    mean over timesteps, to the power 1 / `root`.
    Access: loss. Model calls per image: timesteps (3), shared with attacks that use the same draw.
    """

    access = "loss"
    summary = "how well the model restores an image from a noised copy"

    timesteps: Timesteps = (10, 30, 60)
    root: Annotated[int, Ge(1)] = 2

    @property
    def signal(self) -> Restored:
        return Restored(self.timesteps)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        errors = target.signals[self.signal]["errors"].astype(float)
        return Scores(-(errors.mean(axis=1) ** (1 / self.root)), choices={"chosen by": "fixed beforehand"})
