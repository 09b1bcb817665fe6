"""Probabilistic fluctuation attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Gt, Interval, Lt

from leakfront.attacks import Attack, Scores, Shadow, Target, Timesteps, register
from leakfront.attacks.loss import SMALLEST_ERROR
from leakfront.attacks.queries.views import CentreCrop
from leakfront.attacks.shadow_models.choice import best_score, source_default
from leakfront.errors import InputError

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries


@dataclass(frozen=True)
class CropErrors:
    """||eps_theta(x_t, t) - eps||^2, the mean over pixels and draws.

    With `fresh_noise`, each timestep has draws of its own. "whole" [N, T]: for the image. "cropped" [N, T]: the mean
    over centre crops of the image, with the same noise.
    """

    timesteps: tuple[int, ...]
    fractions: tuple[float, ...]
    draws: int
    fresh_noise: bool

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        def error(t: int, view: CentreCrop | None) -> torch.Tensor:
            first = self.timesteps.index(t) * self.draws if self.fresh_noise else 0
            return torch.stack([queries.loss(first + draw, t, view) for draw in range(self.draws)]).mean(0)

        whole = [error(t, None) for t in self.timesteps]
        cropped = [torch.stack([error(t, CentreCrop(f)) for f in self.fractions]).mean(0) for t in self.timesteps]
        return {"whole": torch.stack(whole, dim=1), "cropped": torch.stack(cropped, dim=1)}


Count = Annotated[int, Interval(ge=1, le=10_000)]  # bounded, since each crop and draw is a call of the model


@register("pfami")
@dataclass(frozen=True)
class PFAMI(Attack):
    """PFAMI, the statistic form (Fu et al. 2023, arXiv 2308.12143).

    A member is a local maximum of the model's likelihood, so its error rises when the image changes a little. The score
    is the mean over timesteps of (mean error of the crops - error of the image) / error of the image, as in the
    authors' code. Without `relative`, the difference is not divided. With `calibrated`, the score that the image would
    have as no member is subtracted, as the authors' default does with one reference model (see
    leakfront/attacks/shadow_models/calibration.py). Each timestep has noise of its own; without `fresh_noise` all share
    theirs. There are `crops` centre crops, from `largest` to
    `smallest` of each side, enlarged to the whole size. Errors below 1e-6 count as 1e-6 in the denominator.
    It differs from the authors' code in three ways: it averages over all crops (they take the sixth only), crops and
    image share the noise, and windows are not rounded to whole pixels. The authors' neural form (a classifier of the
    fluctuations) is left out. Nothing is chosen on shadow models.
    Access: loss. Model calls per image: timesteps x (1 + crops) x draws (110). If crops hardly change an image (a plain
    background), it shows little, whether it was trained on or not.
    """

    access = "loss"
    summary = "the rise of the noise-prediction error when the image is cropped"

    timesteps: Timesteps = tuple(range(0, 451, 50))
    crops: Count = 10
    largest: Annotated[float, Gt(0), Lt(1)] = 0.95
    smallest: Annotated[float, Gt(0), Lt(1)] = 0.70
    draws: Count = 1
    relative: bool = True
    fresh_noise: bool = True
    calibrated: bool = False

    def validate(self) -> None:
        if self.smallest > self.largest:
            raise InputError(f"{self.where()}.smallest is {self.smallest}; it must be at most largest, {self.largest}")

    @property
    def signal(self) -> CropErrors:
        fractions = np.linspace(self.largest, self.smallest, self.crops).round(6).tolist()
        return CropErrors(self.timesteps, tuple(fractions), self.draws, self.fresh_noise)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        def scores(model: Target) -> dict[str, np.ndarray]:
            found = model.signals[self.signal]
            whole, cropped = found["whole"].astype(np.float64), found["cropped"].astype(np.float64)
            rise = (cropped - whole) / (np.maximum(whole, SMALLEST_ERROR) if self.relative else 1)
            return {"all": rise.mean(1)}

        score = best_score(target, shadows, scores, "all", self.calibrated)[0]
        return Scores(score, choices={"timesteps": list(self.timesteps), "chosen by": source_default(self, shadows)})
