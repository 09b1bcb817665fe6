"""The model as the probe stage lets attacks see it: one batch of images, each query made once, every call counted."""

from __future__ import annotations

from collections.abc import Hashable

import torch

from leakfront.seeds import derive_seed
from models.contract import DiffusionModel


class Queries:
    """A batch of pool images in front of a model.

    images: float32 [N, C, H, W] in [-1, 1]; labels: int64 [N]. `calls` counts the images' passes through the network,
    per image. All noise is shared by the images of the pool (common random numbers), so that a measurement depends
    neither on the batch nor on the order of the pool.
    """

    def __init__(self, model: DiffusionModel, images: torch.Tensor, labels: torch.Tensor, seed: int) -> None:
        self.images = images
        self.labels = labels
        self.alphas_cumprod = model.alphas_cumprod.to(images.device)
        self.calls = 0
        self._model = model
        self._seed = seed
        self._known: dict[Hashable, torch.Tensor] = {}

    @property
    def timesteps(self) -> int:
        """T, the number of noise levels."""
        return len(self.alphas_cumprod)

    def predict(self, x_t: torch.Tensor, t: int) -> torch.Tensor:
        """eps_theta(x_t, t) for x_t float32 [N, C, H, W] at one timestep t in 0 … T-1."""
        self.calls += 1
        return self._model.predict_noise(x_t, torch.full((len(x_t),), t, device=x_t.device), self.labels)

    def noise(self, draw: int) -> torch.Tensor:
        """The draw-th Gaussian noise, [1, C, H, W], the same for all images and timesteps."""
        generator = torch.Generator().manual_seed(derive_seed(self._seed, "probe noise", draw))
        return torch.randn(1, *self.images.shape[1:], generator=generator).to(self.images.device)

    def noised(self, noise: torch.Tensor, t: int) -> torch.Tensor:
        """x_t = sqrt(ab_t) x_0 + sqrt(1 - ab_t) noise."""
        alpha_bar = self.alphas_cumprod[t]
        return alpha_bar.sqrt() * self.images + (1 - alpha_bar).sqrt() * noise

    def clean_prediction(self, t: int) -> torch.Tensor:
        """eps_theta(x_0, t), made once for all signals that ask for it."""
        key = ("clean", t)
        if key not in self._known:
            self._known[key] = self.predict(self.images, t)
        return self._known[key]

    def noisy_prediction(self, draw: int, t: int) -> torch.Tensor:
        """eps_theta(x_t, t) for x_t noised with draw number `draw`, made once for all signals that ask for it."""
        key = ("noisy", draw, t)
        if key not in self._known:
            self._known[key] = self.predict(self.noised(self.noise(draw), t), t)
        return self._known[key]
