"""Step-wise error comparing membership inference."""

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

MAP_SIDE = 16  # whole maps of large images would be most of the data stored for a model


@dataclass(frozen=True)
class InversionErrors:
    """x'_t - x_t after deterministic DDIM inversion to t, one step up and one step back.

    "errors" [N]: its squared norm. "map" [N, C, h, w]: its absolute value, averaged down to at most 16 x 16.
    """

    timestep: int
    interval: int

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        x = queries.images
        for t in range(0, self.timestep, self.interval):
            noise = queries.clean_prediction(0) if t == 0 else queries.predict(x, t)
            x = queries.ddim_step(x, noise, t, t + self.interval)
        above = self.timestep + self.interval
        up = queries.ddim_step(x, queries.predict(x, self.timestep), self.timestep, above)
        back = queries.ddim_step(up, queries.predict(up, above), above, self.timestep)
        height, width = (min(side, MAP_SIDE) for side in x.shape[2:])
        averaged = torch.nn.functional.adaptive_avg_pool2d((back - x).abs(), (height, width))
        return {"errors": (back - x).square().flatten(1).sum(1), "map": averaged}


def check_multiple(where: str, timestep: int, interval: int) -> None:
    """Raise `InputError` unless steps of `interval` end at `timestep`; `where` names the attack in the sentence."""
    if timestep % interval:
        raise InputError(f"{where}.timestep is {timestep}; it must be a multiple of interval, {interval}")


@register("secmi")
@dataclass(frozen=True)
class SecMI(Attack):
    """SecMI, the statistic form (Duan et al. 2023, arXiv 2302.01316, Eq. 9 and 10).

    Deterministic DDIM inverts the image to the latent at t_sec = `timestep`, in steps of `interval`. The score is minus
    the squared distance between this latent and the same latent after one step up and one step back. The defaults are
    the source's: steps of 10 to t_sec = 100.
    Access: loss. Model calls per image: t_sec / interval + 2 (12). It is deterministic, and nothing is chosen on shadow
    models.
    """

    access = "loss"
    summary = "the error of one DDIM step up and back, after inversion to t_sec"

    timestep: Annotated[int, Ge(0)] = 100
    interval: Annotated[int, Ge(1)] = 10

    def validate(self) -> None:
        check_multiple(self.where(), self.timestep, self.interval)

    @property
    def signal(self) -> InversionErrors:
        return InversionErrors(self.timestep, self.interval)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        errors = target.signals[self.signal]["errors"].astype(np.float64)
        return Scores(-errors, choices={"timestep": self.timestep, "chosen by": "the source's default"})
