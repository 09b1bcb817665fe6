"""The norm of the noise predicted for the clean image."""

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
class CleanNorms:
    """||eps_theta(x_0, t)||_p of the image itself, neither noised nor scaled: "errors" [N, T]."""

    timesteps: tuple[int, ...]
    norm: float

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        def size(t: int) -> torch.Tensor:
            norms: torch.Tensor = torch.linalg.vector_norm(queries.clean_prediction(t).flatten(1), self.norm, dim=1)
            return norms

        return {"errors": torch.stack([size(t) for t in self.timesteps], dim=1)}


@register("sima")
@dataclass(frozen=True)
class SimA(Attack):
    """SimA (Rao, Qu and Moyer 2025, "Score-based membership inference on diffusion models", arXiv 2509.25003).

    The score is minus the l_p norm, p = `norm` (4), of the noise that the model predicts for the clean image at t. The
    optimal prediction points from a mean of training images near x_0 to x_0, so it is short if x_0 itself was trained
    on. With shadow models, another timestep replaces `default_timestep` if its mean AUC on them is higher by more than
    `margin` standard errors. So does the other sign, if `signed`: members can have the larger norms. The authors' code
    tries t = 0, 20 … 100 and reports the best of them on the attacked model itself; this is not done here.
    With `calibrated`, the logarithm of the error is compared with what it would be if the image were no member (see
    leakfront/attacks/shadow_models/calibration.py).
    Access: loss. Model calls per image: timesteps (1 once the timestep is known). It is deterministic. It does not know
    how hard an image is, and at t the network was never trained on images without noise.
    """

    access = "loss"
    shadows = "choices"
    summary = "minus the norm of the noise predicted for the clean image"

    timesteps: Timesteps = (10, 50, 100, 150, 200, 250, 300)
    norm: Annotated[float, Gt(0)] = 4.0
    default_timestep: Annotated[int, Ge(0)] = 100
    signed: bool = True
    margin: Annotated[float, Ge(0)] = 2.0
    calibrated: bool = False

    @property
    def signal(self) -> CleanNorms:
        return CleanNorms(self.timesteps, self.norm)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        return score_at_best_timestep(self, target, shadows)
