"""A model as the official attacks see it: a noise predictor, its noise levels, and the images to judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch

T = TypeVar("T")
Parameters = Mapping[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Model:
    """A denoiser in front of the images under judgement.

    eps: the noise predicted for x_t float32 [B, C, H, W] at one timestep t. images: float32 [N, C, H, W] in [-1, 1].
    outside: images of the same distribution that no model was trained on. alphas_cumprod: ab_t, float32 [T]. seed: of
    all noise; with equal seeds two models get the same noise, as two runs of a seeded script do. parameters and
    eps_with(parameters, x_t, t): `eps` as a function of the weights, for attacks on gradients.
    """

    eps: Callable[[torch.Tensor, int], torch.Tensor]
    images: torch.Tensor
    outside: torch.Tensor
    alphas_cumprod: torch.Tensor
    seed: int
    parameters: Parameters
    eps_with: Callable[[Parameters, torch.Tensor, int], torch.Tensor]
    _known: dict[Any, Any] = field(default_factory=dict, init=False)

    def once(self, measure: Callable[[Model], T]) -> T:
        """measure(self), computed only the first time: a model is a target once and a shadow of every other target."""
        if measure not in self._known:
            self._known[measure] = measure(self)
        found: T = self._known[measure]
        return found

    def generator(self, stream: int = 0) -> torch.Generator:
        """Fresh noise, from its beginning; another stream is other noise."""
        return torch.Generator().manual_seed(self.seed + stream)

    def noise(self, generator: torch.Generator) -> torch.Tensor:
        """Gaussian noise of its own for each image, [N, C, H, W]."""
        return torch.randn(self.images.shape, generator=generator)

    def noised(self, x_0: torch.Tensor, noise: torch.Tensor, t: int) -> torch.Tensor:
        """x_t = sqrt(ab_t) x_0 + sqrt(1 - ab_t) noise."""
        level = self.alphas_cumprod[t]
        return level.sqrt() * x_0 + (1 - level).sqrt() * noise

    def ddim(self, x: torch.Tensor, here: int, there: int) -> torch.Tensor:
        """x moved from timestep `here` to `there`, up or down, by one deterministic DDIM step."""
        noise, level = self.eps(x, here), self.alphas_cumprod[here]
        return self.noised((x - (1 - level).sqrt() * noise) / level.sqrt(), noise, there)


@dataclass(frozen=True, eq=False)
class Shadow:
    """A model whose members the attacker knows: members bool [N]."""

    model: Model
    members: np.ndarray


def length(values: torch.Tensor, p: float = 2) -> torch.Tensor:
    """The l_p norm of each image of [N, C, H, W], [N]."""
    found: torch.Tensor = torch.linalg.vector_norm(values.flatten(1), p, dim=1)
    return found


def to_scores(values: torch.Tensor) -> np.ndarray:
    """A tensor [N, …] as float64."""
    array: np.ndarray = values.detach().double().numpy()
    return array
