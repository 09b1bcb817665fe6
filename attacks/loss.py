"""The loss threshold attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attacks import Attack, Scores, Shadow, Target, register
from attacks.shadow_choice import score_at_best_timestep

if TYPE_CHECKING:
    import torch

    from attacks.queries import Queries


@dataclass(frozen=True)
class NoiseErrors:
    """||eps_theta(x_t, t) - eps||^2, mean over pixels and over `draws` draws of eps, at each t: "errors" [N, T]."""

    timesteps: tuple[int, ...]
    draws: int

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        def error(t: int) -> torch.Tensor:
            return torch.stack([queries.loss(draw, t) for draw in range(self.draws)]).mean(0)

        return {"errors": torch.stack([error(t) for t in self.timesteps], dim=1)}


@register("loss")
@dataclass(frozen=True)
class Loss(Attack):
    """Loss threshold (Yeom et al. 2018, arXiv 1709.01604; for diffusion models Carlini et al. 2023, §5.2).

    An image's score is minus the squared error of the noise prediction at one timestep, averaged over draws of the
    noise. The timestep is the one that separates best on shadow models; without shadows, `default_timestep`.
    Access: loss. Model calls per image: draws x timesteps. It cannot tell a hard member from an easy decoy, since it
    has no idea of how hard an image is.
    """

    access = "loss"
    shadows = "choices"
    summary = "minus the noise-prediction error at one timestep"

    timesteps: tuple[int, ...] = (50, 100, 150, 200, 250, 300)
    draws: int = 4
    default_timestep: int = 100

    def signals(self) -> list[NoiseErrors]:
        return [NoiseErrors(self.timesteps, self.draws)]

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        return score_at_best_timestep(target, shadows, self.signals()[0], self.timesteps, self.default_timestep)
