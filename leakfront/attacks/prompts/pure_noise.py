"""What attacks share that look at captions alone, by one number at pure noise and one timestep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from leakfront.attacks.contract import Attack, Scores, Shadow, Target, Timesteps
from leakfront.attacks.shadow_models.choice import highest_at_best_timestep

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries


@dataclass(frozen=True)
class ValuesAtPureNoise:
    """A number for each caption and timestep, "values" [N, T]: the mean over `draws` of the noise."""

    timesteps: tuple[int, ...]
    draws: int

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        return {"values": torch.stack([self.at(queries, t) for t in self.timesteps], dim=1)}

    def at(self, queries: Queries, t: int) -> torch.Tensor:
        """The numbers [N] at one timestep."""
        import torch

        return torch.stack([self.of_draw(queries, t, draw) for draw in range(self.draws)]).mean(0)

    def of_draw(self, queries: Queries, t: int, draw: int) -> torch.Tensor:
        """The numbers [N] of one draw of the noise."""
        raise NotImplementedError


@dataclass(frozen=True)
class AtPureNoise(Attack):
    """An attack whose score is such a number, at a timestep that shadow models can change."""

    needs_captions = True
    needs_null = True
    of_captions = True
    shadows = "choices"

    timesteps: Timesteps = (700, 900, 980)
    draws: Annotated[int, Ge(1)] = 4
    default_timestep: Annotated[int, Ge(0)] = 980
    margin: Annotated[float, Ge(0)] = 2.0

    @property
    def signal(self) -> ValuesAtPureNoise:
        raise NotImplementedError

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        return highest_at_best_timestep(self, target, shadows)
