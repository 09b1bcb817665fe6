"""Norm of the predicted noise of the clean image."""

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

    Score: minus the l_4 norm of the noise that the model predicts for the clean image at t. The optimal prediction
    points from a mean of training images near x_0 to x_0, so it is short where x_0 itself was trained on. The timestep
    is the one that separates best on shadow models; without shadows, `default_timestep`. The authors' code takes t = 0,
    20 … 100 and reports the best of them on the attacked model itself, which is not done here.
    Access: loss. Model calls per image: timesteps (1 once the timestep is known). Deterministic. It has no idea of how
    hard an image is, and an image without noise is not what the network was trained on at t.
    """

    access = "loss"
    shadows = "choices"
    summary = "minus the size of the noise that is predicted for the clean image"

    timesteps: tuple[int, ...] = (10, 50, 100, 150, 200, 250, 300)
    norm: float = 4.0
    default_timestep: int = 100

    def __post_init__(self) -> None:
        if not self.timesteps:
            raise InputError("attacks.sima.timesteps is empty; it must hold at least one timestep")
        if not self.norm > 0:
            raise InputError(f"attacks.sima.norm is {self.norm}; it must be above 0")

    def signals(self) -> list[CleanNorms]:
        return [CleanNorms(self.timesteps, self.norm)]

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        return score_at_best_timestep(target, shadows, self.signals()[0], self.timesteps, self.default_timestep)
