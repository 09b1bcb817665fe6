"""Proximal initialization attack."""

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
class ProximalErrors:
    """||e_0 - eps_theta(sqrt(ab_t) x_0 + sqrt(1 - ab_t) e_0, t)||_p^p, e_0 = eps_theta(x_0, 0): "errors" [N, T]."""

    timesteps: tuple[int, ...]
    norm: float

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        proximal = queries.clean_prediction(0)

        def error(t: int) -> torch.Tensor:
            difference = proximal - queries.predict(queries.noised(proximal, t), t)
            return difference.abs().pow(self.norm).flatten(1).sum(1)

        return {"errors": torch.stack([error(t) for t in self.timesteps], dim=1)}


@register("pia")
@dataclass(frozen=True)
class PIA(Attack):
    """Proximal initialization attack (Kong et al. 2023, arXiv 2305.18355, Eq. 11).

    Let e_0 be the noise that the model predicts for the image at t = 0. The image is noised with e_0 to t, and the
    score is minus the l_p distance, to the power p = `norm`, between e_0 and the prediction at t. With shadow
    models, another timestep replaces `default_timestep` (200, as in the source) if its mean AUC on them is higher by
    more than `margin` standard errors. So does the other sign, if `signed`: members can have the larger errors.
    With `calibrated`, the logarithm of the error is compared with what it would be if the image were no member (see
    leakfront/attacks/shadow_models/calibration.py).
    Access: loss. Model calls per image: 1 + timesteps (2 once the timestep is known). It draws no noise, so it is
    deterministic.
    """

    access = "loss"
    shadows = "choices"
    summary = "how well the noise predicted at t = 0 predicts itself at t"

    timesteps: Timesteps = tuple(range(10, 301, 10))
    norm: Annotated[float, Gt(0)] = 4.0
    default_timestep: Annotated[int, Ge(0)] = 200
    signed: bool = True
    margin: Annotated[float, Ge(0)] = 2.0
    calibrated: bool = False

    @property
    def signal(self) -> ProximalErrors:
        return ProximalErrors(self.timesteps, self.norm)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        return score_at_best_timestep(self, target, shadows)
