"""Step-wise error comparing membership inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge

from leakfront.attacks import Attack, Scores, Shadow, Target, Timesteps, register
from leakfront.attacks.shadow_models.calibration import in_calibrated_form
from leakfront.attacks.shadow_models.choice import best_score
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
    between this latent and the same latent after one step up and one step back. The timestep is the one of `timesteps`
    that separates best on shadow models, and with `signed` so is the sign: members have smaller errors where a model
    has fitted their details, and larger ones where it was regularized. Without shadow models the timestep is
    `default_timestep` and smaller errors speak for membership. The source states t_sec = 100; its code inverts to 90
    and steps 90, 100, 90, so 90 is the default. With `calibrated`, the logarithm of the error is compared with what it
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
    calibrated: bool = False

    def validate(self) -> None:
        check_multiples(f"{self.where()}.timesteps", self.timesteps, self.interval)

    @property
    def signal(self) -> StepErrors:
        return StepErrors(self.timesteps, self.interval)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        def scores(model: Target) -> dict[tuple[int, int], np.ndarray]:
            errors = in_calibrated_form(model.signals[self.signal]["errors"], self.calibrated)
            signs = (-1, 1) if self.signed else (-1,)
            return {(t, sign): sign * errors[:, i] for i, t in enumerate(self.timesteps) for sign in signs}

        nearest = min(self.timesteps, key=lambda t: abs(t - self.default_timestep))
        score, (timestep, sign), reason = best_score(target, shadows, scores, (nearest, -1), self.calibrated)
        members = "smaller" if sign < 0 else "larger"
        return Scores(score, choices={"timestep": timestep, "errors of members": members, "chosen by": reason})
