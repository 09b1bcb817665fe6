"""The loss threshold attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge

from leakfront.attacks import Attack, Scores, Shadow, Target, Timesteps, register
from leakfront.attacks.queries.views import Flip
from leakfront.attacks.shadow_models.choice import score_at_best_timestep

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries

SMALLEST_ERROR = 1e-6


@dataclass(frozen=True)
class NoiseErrors:
    """||eps_theta(x_t, t) - eps||^2 at each t, the mean over pixels and over `draws` draws of eps: "errors" [N, T].

    With `flips`, "errors" is the mean over the image and its mirror image, and "unflipped" [N, T] is of the image
    alone.
    """

    timesteps: tuple[int, ...]
    draws: int
    flips: bool = False

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        def errors(view: Flip | None) -> torch.Tensor:
            losses = [[queries.loss(draw, t, view) for draw in range(self.draws)] for t in self.timesteps]
            return torch.stack([torch.stack(of_draws).mean(0) for of_draws in losses], dim=1)

        unflipped = errors(None)
        if not self.flips:
            return {"errors": unflipped}
        return {"errors": (unflipped + errors(Flip())) / 2, "unflipped": unflipped}


def log_errors(errors: np.ndarray) -> np.ndarray:
    """The logarithm of noise-prediction errors, float64 of the same shape. Errors below 1e-6 count as 1e-6.

    If a model knows an image exactly, its error is a rounding error, whose size means nothing. The floor makes all such
    errors equal. For scale: the noise has mean square 1.
    """
    logarithms: np.ndarray = np.log(np.maximum(errors.astype(np.float64), SMALLEST_ERROR))
    return logarithms


@register("loss")
@dataclass(frozen=True)
class Loss(Attack):
    """Loss threshold (Yeom et al. 2018, arXiv 1709.01604; for diffusion models Carlini et al. 2023, §5.2).

    An image's score is minus the squared error of the noise prediction at one timestep, averaged over draws of the
    noise. With shadow models, another timestep replaces `default_timestep` if its mean AUC on them is higher by more
    than `margin` standard errors. So does the other sign, if `signed`: members can have the larger errors.
    With `calibrated`, the logarithm of the error is compared with what it would be if the image were no member (see
    leakfront/attacks/shadow_models/calibration.py).
    Access: loss. Model calls per image: draws x timesteps. It cannot tell a hard member from an easy decoy, because it
    does not know how hard an image is.
    """

    access = "loss"
    shadows = "choices"
    summary = "minus the noise-prediction error at one timestep"

    timesteps: Timesteps = (50, 100, 150, 200, 250, 300)
    draws: Annotated[int, Ge(1)] = 4
    default_timestep: Annotated[int, Ge(0)] = 100
    signed: bool = True
    margin: Annotated[float, Ge(0)] = 2.0
    calibrated: bool = False

    @property
    def signal(self) -> NoiseErrors:
        return NoiseErrors(self.timesteps, self.draws)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        return score_at_best_timestep(self, target, shadows)
