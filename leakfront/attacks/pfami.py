"""Probabilistic fluctuation attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.attacks.loss import SMALLEST_ERROR
from leakfront.attacks.queries.views import CentreCrop
from leakfront.errors import InputError

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries


@dataclass(frozen=True)
class CropErrors:
    """||eps_theta(x_t, t) - eps||^2, mean over pixels and draws: "whole" [N, T], and "cropped" [N, T], its mean over
    centre crops of the image, with the same noise."""

    timesteps: tuple[int, ...]
    fractions: tuple[float, ...]
    draws: int

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        def error(t: int, view: CentreCrop | None) -> torch.Tensor:
            return torch.stack([queries.loss(draw, t, view) for draw in range(self.draws)]).mean(0)

        whole = [error(t, None) for t in self.timesteps]
        cropped = [torch.stack([error(t, CentreCrop(f)) for f in self.fractions]).mean(0) for t in self.timesteps]
        return {"whole": torch.stack(whole, dim=1), "cropped": torch.stack(cropped, dim=1)}


MOST = 10_000  # crops, draws: each is asked of the model


@register("pfami")
@dataclass(frozen=True)
class PFAMI(Attack):
    """PFAMI, the statistic form (Fu et al. 2023, arXiv 2308.12143).

    A member is a local maximum of the model's likelihood, so the error rises when the image is changed a little. Score:
    mean over timesteps of (mean error of the crops - error of the image) / error of the image, as in the authors'
    code; without `relative` the difference is not divided. The crops are `crops` centre crops, of fractions from
    `largest` to `smallest` of each side, enlarged to the whole size. Errors below 1e-6 divide as 1e-6.
    Differences from the authors' code: the mean is over all crops (theirs is of the sixth alone), crops and image see
    the same noise, and windows are not rounded to whole pixels. Their neural form (a classifier of the fluctuations)
    and their calibration by a reference model are left out. Nothing is chosen on shadows.
    Access: loss. Model calls per image: timesteps x (1 + crops) x draws (110). An image that crops hardly change (a
    plain background) shows little, whether it was trained on or not.
    """

    access = "loss"
    summary = "rise of the error when the image is cropped"

    timesteps: tuple[int, ...] = tuple(range(0, 451, 50))
    crops: int = 10
    largest: float = 0.95
    smallest: float = 0.70
    draws: int = 1
    relative: bool = True

    def __post_init__(self) -> None:
        if not self.timesteps:
            raise InputError("attacks.pfami.timesteps is empty; it must hold at least one timestep")
        for key in ("crops", "draws"):
            if not 1 <= getattr(self, key) <= MOST:
                raise InputError(f"attacks.pfami.{key} is {getattr(self, key)}; it must lie in 1 … {MOST:,}")
        if not 0 < self.smallest <= self.largest < 1:
            raise InputError(
                f"attacks.pfami.smallest is {self.smallest}; it must be above 0 and at most largest, {self.largest}, "
                "which must be below 1"
            )

    def signals(self) -> list[CropErrors]:
        fractions = np.linspace(self.largest, self.smallest, self.crops).round(6).tolist()
        return [CropErrors(self.timesteps, tuple(fractions), self.draws)]

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        found = target.signals[self.signals()[0]]
        whole, cropped = found["whole"].astype(np.float64), found["cropped"].astype(np.float64)
        rise = (cropped - whole) / (np.maximum(whole, SMALLEST_ERROR) if self.relative else 1)
        return Scores(rise.mean(1), choices={"timesteps": list(self.timesteps), "chosen by": "the source's default"})
