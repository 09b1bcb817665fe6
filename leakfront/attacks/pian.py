"""Proximal initialization attack with normalized noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt

from leakfront.attacks import Attack, Scores, Shadow, Target, Timesteps, register
from leakfront.attacks.shadow_models.choice import score_at_best_timestep

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

    It is the attack `pia` with one change: within each image, the noise predicted at t = 0 is first rescaled to the
    mean absolute value of Gaussian noise, sqrt(2 / pi). The rescaled noise is added to the image, and the prediction at
    t is compared with it, as in the authors' code. The timestep and the sign are chosen
    as in `pia`.
    With `calibrated`, the logarithm of the error is compared with what it would be if the image were no member (see
    leakfront/attacks/shadow_models/calibration.py).
    Access: loss. Model calls per image: 1 + timesteps (2 once the timestep is known), the first shared with `pia`. It
    is deterministic. The rescaling changes only the size of the noise; its pattern may still be far from Gaussian. If
    the prediction at t = 0 is almost exact, the rescaling amplifies rounding errors.
    """

    access = "loss"
    shadows = "choices"
    summary = "pia with the predicted noise rescaled to the size of Gaussian noise"

    timesteps: Timesteps = tuple(range(10, 301, 10))
    norm: Annotated[float, Gt(0)] = 4.0
    default_timestep: Annotated[int, Ge(0)] = 200
    signed: bool = True
    margin: Annotated[float, Ge(0)] = 2.0
    calibrated: bool = False

    @property
    def signal(self) -> NormalizedProximalErrors:
        return NormalizedProximalErrors(self.timesteps, self.norm)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        return score_at_best_timestep(self, target, shadows)
