"""Proximal initialization attack with normalized noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.attacks.shadow_models.choice import score_at_best_timestep
from leakfront.errors import InputError

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries


@dataclass(frozen=True)
class NormalizedProximalErrors:
    """||e - eps_theta(sqrt(ab_t) x_0 + sqrt(1 - ab_t) e, t)||_p^p for e = eps_theta(x_0, 0), rescaled in each image to
    the mean absolute value sqrt(2 / pi) of Gaussian noise: "errors" [N, T]."""

    timesteps: tuple[int, ...]
    norm: float

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        proximal = queries.clean_prediction(0)
        magnitude = proximal.abs().mean(dim=(1, 2, 3), keepdim=True).clamp_min(torch.finfo(proximal.dtype).tiny)
        noise = proximal / magnitude * (2 / torch.pi) ** 0.5

        def error(t: int) -> torch.Tensor:
            difference = noise - queries.predict(queries.noised(noise, t), t)
            powers: torch.Tensor = difference.abs().pow(self.norm)
            return powers.flatten(1).sum(1)

        return {"errors": torch.stack([error(t) for t in self.timesteps], dim=1)}


@register("pian")
@dataclass(frozen=True)
class PIAN(Attack):
    """Proximal initialization attack, normalized (PIAN; Kong et al. 2023, arXiv 2305.18355).

    As the attack `pia`, but the noise predicted at t = 0 is first rescaled to the mean absolute value of Gaussian
    noise, sqrt(2 / pi), within each image; the rescaled noise is what noises the image and what the prediction at t is
    compared with, as in the authors' code. The timestep is the one that separates best on shadow models; without
    shadows, `default_timestep` (200, as for `pia`).
    Access: loss. Model calls per image: 1 + timesteps (2 once the timestep is known), the first shared with `pia`.
    Deterministic. The rescaling sets the size of the noise only: its pattern may still be far from Gaussian, and a
    model with an almost exact prediction at t = 0 gets its rounding errors amplified.
    """

    access = "loss"
    shadows = "choices"
    summary = "pia with the predicted noise rescaled to the size of Gaussian noise"

    timesteps: tuple[int, ...] = tuple(range(10, 301, 10))
    norm: float = 4.0
    default_timestep: int = 200

    def __post_init__(self) -> None:
        if not self.timesteps:
            raise InputError("attacks.pian.timesteps is empty; it must hold at least one timestep")
        if not self.norm > 0:
            raise InputError(f"attacks.pian.norm is {self.norm}; it must be above 0")

    def signals(self) -> list[NormalizedProximalErrors]:
        return [NormalizedProximalErrors(self.timesteps, self.norm)]

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        return score_at_best_timestep(target, shadows, self.signals()[0], self.timesteps, self.default_timestep)
