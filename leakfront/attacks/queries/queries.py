"""The model as attacks see it: one batch of images, each query made once, every call counted."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property

import torch

from leakfront.attacks.queries.gradients import GradientNorms, gradient_norms
from leakfront.models.contract import DiffusionModel
from leakfront.seeds import derive_seed

# a change of the images, float32 [N, C, H, W] -> the same shape; a frozen dataclass, so that equal views compare equal
View = Callable[[torch.Tensor], torch.Tensor]
CALLS_OF_A_GRADIENT = 3  # a forward pass, and a backward pass that costs as much as two


class Queries:
    """The queries that attacks make to a model about a batch of images.

    images: float32 [N, C, H, W] in [-1, 1]. condition: int64 [N, ...], each image's own. seed: of all noise.
    gradient_batch: the number of images whose gradients are computed at once. `calls` counts the passes through the
    network per image; a gradient counts as 3 passes. All images of the pool share the noise (common random numbers), so
    a measurement depends neither on the batch nor on the order of the pool.
    """

    def __init__(
        self, model: DiffusionModel, images: torch.Tensor, condition: torch.Tensor, seed: int, gradient_batch: int = 64
    ) -> None:
        self.images = images
        self.condition = condition
        self.alphas_cumprod = model.alphas_cumprod.to(images.device)
        self.calls = 0
        self._model = model
        self._seed = seed
        self._gradient_batch = gradient_batch
        self._known: dict[Hashable, torch.Tensor] = {}
        self._gradients: dict[Hashable, GradientNorms] = {}

    @property
    def timesteps(self) -> int:
        """The number of noise levels, T."""
        return len(self.alphas_cumprod)

    def predict(self, x_t: torch.Tensor, t: int) -> torch.Tensor:
        """eps_theta(x_t, t) for x_t float32 [N, C, H, W] at one timestep t in 0 … T-1."""
        self.calls += 1
        return self._model.predict_noise(x_t, torch.full((len(x_t),), t, device=x_t.device), self._embedding)

    @cached_property
    def _embedding(self) -> torch.Tensor:
        """The conditions as the network takes them, computed once."""
        return self._model.embed(self.condition)

    def noise(self, draw: int) -> torch.Tensor:
        """Gaussian noise [1, C, H, W] of draw number `draw`, the same for all images and timesteps."""
        generator = torch.Generator().manual_seed(derive_seed(self._seed, "probe noise", draw))
        return torch.randn(1, *self.images.shape[1:], generator=generator).to(self.images.device)

    def seen(self, view: View | None) -> torch.Tensor:
        """The images through a view, float32 [N, C, H, W]; unchanged if `view` is None."""
        if view is None:
            return self.images
        if view not in self._known:
            self._known[view] = view(self.images)
        return self._known[view]

    def noised(self, noise: torch.Tensor, t: int, view: View | None = None) -> torch.Tensor:
        """x_t = sqrt(ab_t) x_0 + sqrt(1 - ab_t) noise."""
        alpha_bar = self.alphas_cumprod[t]
        return alpha_bar.sqrt() * self.seen(view) + (1 - alpha_bar).sqrt() * noise

    def ddim_step(self, x: torch.Tensor, noise: torch.Tensor, here: int, there: int) -> torch.Tensor:
        """x [N, C, H, W] moved from timestep `here` to `there`, up or down, by deterministic DDIM (Song et al. 2021,
        Eq. 12 with sigma = 0).

        noise: the prediction at `here`.
        """
        alpha_bar = self.alphas_cumprod
        x_0 = (x - (1 - alpha_bar[here]).sqrt() * noise) / alpha_bar[here].sqrt()
        return alpha_bar[there].sqrt() * x_0 + (1 - alpha_bar[there]).sqrt() * noise

    def inverted(self, t: int, interval: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The images after deterministic DDIM inversion from 0 to t in steps of `interval`, and the prediction there.

        Each step is computed once for all signals that ask for it. t: a multiple of `interval`.
        """
        for here in range(0, t + 1, interval):
            if ("inverted", interval, here) in self._known:
                continue
            x = self.images
            if here:
                below = here - interval
                x = self.ddim_step(*self.inverted(below, interval), below, here)
            self._known["inverted", interval, here] = x
            noise = self.predict(x, here) if here else self.clean_prediction(0)
            self._known["prediction", interval, here] = noise
        return self._known["inverted", interval, t], self._known["prediction", interval, t]

    def clean_prediction(self, t: int) -> torch.Tensor:
        """eps_theta(x_0, t) of the clean images, computed once for all signals that ask for it."""
        key = ("clean", t)
        if key not in self._known:
            self._known[key] = self.predict(self.images, t)
        return self._known[key]

    def noisy_prediction(self, draw: int, t: int, view: View | None = None) -> torch.Tensor:
        """eps_theta(x_t, t) for x_t noised with draw number `draw`, computed once for all signals that ask for it."""
        key = ("noisy", draw, t, view)
        if key not in self._known:
            self._known[key] = self.predict(self.noised(self.noise(draw), t, view), t)
        return self._known[key]

    def loss(self, draw: int, t: int, view: View | None = None) -> torch.Tensor:
        """||eps_theta(x_t, t) - eps||^2 [N], the mean over pixels, for draw number `draw` of the noise."""
        squared: torch.Tensor = (self.noisy_prediction(draw, t, view) - self.noise(draw)).square().flatten(1).mean(1)
        return squared

    def gradient_norms(self, timesteps: Sequence[int], draws: Sequence[int] = (0,)) -> GradientNorms:
        """Losses and gradient norms at each timestep; see `GradientNorms`.

        draws: the number of the noise's draw at each timestep, or the one for all.
        """
        key = (tuple(timesteps), tuple(draws))
        if key not in self._gradients:
            self.calls += CALLS_OF_A_GRADIENT * len(timesteps)
            self._gradients[key] = gradient_norms(
                self._model, self.images, self.condition, torch.cat([self.noise(draw) for draw in draws]), timesteps,
                self._gradient_batch,
            )  # fmt: skip
        return self._gradients[key]
