"""Step-wise error comparing membership inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from leakfront.attacks import Attack, Scores, Shadow, Target, Timesteps, register
from leakfront.attacks.shadow_models.choice import score_at_best_timestep
from leakfront.errors import InputError

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries


@dataclass(frozen=True)
class StepErrors:
    """||x'_t - x_t||^2 after deterministic DDIM inversion to each t, one step up and one step back: "errors" [N, T]."""

    timesteps: tuple[int, ...]
    interval: int

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        differences = (step_difference(queries, t, self.interval) for t in self.timesteps)
        return {"errors": torch.stack([d.square().flatten(1).sum(1) for d in differences], dim=1)}


def step_difference(queries: Queries, timestep: int, interval: int) -> torch.Tensor:
    """x'_t - x_t [N, C, H, W] after inversion to t, one step up and one step back."""
    x, _ = queries.inverted(timestep, interval)
    above = timestep + interval
    return queries.ddim_step(*queries.inverted(above, interval), above, timestep) - x


def check_multiples(where: str, timesteps: Sequence[int], interval: int) -> None:
    """Raise `InputError` unless steps of `interval` end at the timesteps; `where` names them in the sentence."""
    for timestep in timesteps:
        if timestep % interval:
            raise InputError(f"{where} is {timestep}; it must be a multiple of interval, {interval}")


@register("secmi")
@dataclass(frozen=True)
class SecMI(Attack):
    """SecMI, the statistic form (Duan et al. 2023, arXiv 2302.01316, Eq. 9 and 10).

    Deterministic DDIM inverts the image to the latent at t, in steps of `interval`. The t-error is the squared distance
    between this latent and the same latent after one step up and one step back. With shadow models, another timestep
    replaces `default_timestep` if its mean AUC on them is higher by more than `margin` standard errors. So does the
    other sign, if `signed`: members have smaller errors where a model has fitted their details, and larger ones where
    it was regularized. The source states t_sec = 100; its code inverts to 90 and steps 90, 100, 90, so 90 is the
    default. With `calibrated`, the logarithm of the error is compared with what it
    would be if the image were no member (see leakfront/attacks/shadow_models/calibration.py).
    Access: loss. Model calls per image: the largest timestep / interval + 2 (32), once for all timesteps; it is
    deterministic.
    """

    access = "loss"
    shadows = "choices"
    summary = "the error of one DDIM step up and back, after inversion to a timestep"

    timesteps: Timesteps = tuple(range(10, 301, 10))
    interval: Annotated[int, Ge(1)] = 10
    default_timestep: Annotated[int, Ge(0)] = 90
    signed: bool = True
    margin: Annotated[float, Ge(0)] = 2.0
    calibrated: bool = False

    def validate(self) -> None:
        check_multiples(f"{self.where()}.timesteps", self.timesteps, self.interval)

    @property
    def signal(self) -> StepErrors:
        return StepErrors(self.timesteps, self.interval)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        return score_at_best_timestep(self, target, shadows)
