"""The model as attacks see it: one batch of images, each query made once, every call counted."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch

from leakfront.attacks.queries.given import Given
from leakfront.attacks.queries.gradients import GradientNorms, derivative, gradient_norms
from leakfront.models.contract import DiffusionModel, in_pixels
from leakfront.seeds import derive_seed

# a change of the images, float32 [N, C, H, W] -> the same shape; a frozen dataclass, so that equal views compare equal
View = Callable[[torch.Tensor], torch.Tensor]
CALLS_OF_A_GRADIENT = 3  # a forward pass, and a backward pass that costs as much as two
CALLS_OF_A_DERIVATIVE = 2  # a forward pass, and its tangents along with it


class Queries:
    """The queries that attacks make to a model about a batch of images.

    images: float32 [N, C, H, W] in [-1, 1]. condition: int64 [N, ...], each image's own. seed: of all noise.
    gradient_batch: the number of images whose gradients are computed at once. captions: the N texts, if the images have
    any. All images of the pool share the noise (common random numbers), so a measurement depends neither on the batch
    nor on the order of the pool. x_0 and noise are float32 [N, *latent_shape], where the model works on codes of
    images.
    """

    def __init__(
        self,
        model: DiffusionModel,
        images: torch.Tensor,
        condition: torch.Tensor,
        seed: int,
        gradient_batch: int = 64,
        captions: Sequence[str] | None = None,
    ) -> None:
        self.images = images
        self.condition = condition
        self.captions = captions
        self.alphas_cumprod = model.alphas_cumprod.to(images.device)
        self.in_pixels = in_pixels(model)
        self._model = model
        self._seed = seed
        self._gradient_batch = gradient_batch
        self._own_calls = 0
        self._base: Queries | None = None
        self._known: dict[Hashable, torch.Tensor] = {}
        self._embedded: dict[Given | None, torch.Tensor] = {}
        self._gradients: dict[Hashable, GradientNorms] = {}

    @property
    def timesteps(self) -> int:
        """The number of noise levels, T."""
        return len(self.alphas_cumprod)

    @property
    def calls(self) -> int:
        """The passes through the network per image, those of `base` included.

        A gradient counts as 3 passes, a derivative as 2; encoding and decoding are not counted.
        """
        return self._own_calls + (self._base.calls if self._base else 0)

    @property
    def has_null(self) -> bool:
        """Whether the model knows a condition that says nothing."""
        return self._model.null is not None

    @property
    def base(self) -> Queries:
        """The same queries to the model that this one was fine-tuned from, with the same noise."""
        if self._base is None:
            if self._model.base is None:
                raise ValueError("what this model was fine-tuned from is not known")
            self._base = Queries(
                self._model.base, self.images, self.condition, self._seed, self._gradient_batch, self.captions
            )
        return self._base

    def predict(self, x_t: torch.Tensor, t: int, given: Given | None = None) -> torch.Tensor:
        """eps_theta(x_t, t, c) for x_t float32 [N, *latent_shape] at one timestep t in 0 … T-1.

        c: each image's own condition, or what `given` makes of it.
        """
        self._own_calls += 1
        return self._model.predict_noise(x_t, self._at(t, x_t), self._embedding(given))

    def derivative(self, x_t: torch.Tensor, t: int, along: torch.Tensor, given: Given | None = None) -> torch.Tensor:
        """J v, the derivative of `predict(x_t, t, given)` in x_t along v = `along`, of the shape of both."""
        self._own_calls += CALLS_OF_A_DERIVATIVE
        embedding = self._embedding(given)
        return derivative(lambda x: self._model.predict_noise(x, self._at(t, x), embedding), x_t, along)

    def discriminate(self) -> dict[str, torch.Tensor]:
        """The logits [N] of the images by each discriminator of a generator, by its name; counted as one pass each."""
        model: Any = self._model
        found: dict[str, torch.Tensor] = model.discriminate(self.images)
        self._own_calls += len(found)
        return found

    def _at(self, t: int, x_t: torch.Tensor) -> torch.Tensor:
        return torch.full((len(x_t),), t, device=x_t.device)

    def _embedding(self, given: Given | None) -> torch.Tensor:
        """The conditions as the network takes them, computed once."""
        if given not in self._embedded:
            asked = self.condition if given is None else given(self._model, self.condition, self.captions)
            self._embedded[given] = self._model.embed(asked)
        return self._embedded[given]

    def decode(self, x_0: torch.Tensor) -> torch.Tensor:
        """Images float32 [N, C, H, W] in [-1, 1] of x_0 [N, *latent_shape]."""
        return self._model.decode(x_0).clamp(-1, 1)

    def noise(self, draw: int) -> torch.Tensor:
        """Gaussian noise [1, *latent_shape] of draw number `draw`, the same for all images and timesteps."""
        generator = torch.Generator().manual_seed(derive_seed(self._seed, "probe noise", draw))
        return torch.randn(1, *self._model.latent_shape, generator=generator).to(self.images.device)

    def x_0(self, view: View | None = None) -> torch.Tensor:
        """What the model makes of the images through a view, float32 [N, *latent_shape]; of the images themselves if
        `view` is None."""
        key = ("x_0", view)
        if key not in self._known:
            self._known[key] = self._model.encode(self.images if view is None else view(self.images))
        return self._known[key]

    def noised(self, noise: torch.Tensor, t: int, view: View | None = None) -> torch.Tensor:
        """x_t = sqrt(ab_t) x_0 + sqrt(1 - ab_t) noise."""
        alpha_bar = self.alphas_cumprod[t]
        return alpha_bar.sqrt() * self.x_0(view) + (1 - alpha_bar).sqrt() * noise

    def ddim_step(self, x: torch.Tensor, noise: torch.Tensor, here: int, there: int) -> torch.Tensor:
        """x, of the shape of x_0, moved from timestep `here` to `there`, up or down, by deterministic DDIM (Song et al.
        2021, Eq. 12 with sigma = 0).

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
            x = self.x_0()
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
            self._known[key] = self.predict(self.x_0(), t)
        return self._known[key]

    def noisy_prediction(self, draw: int, t: int, view: View | None = None, given: Given | None = None) -> torch.Tensor:
        """eps_theta(x_t, t, c) for x_t noised with draw number `draw`, computed once for all signals that ask for it.

        c: each image's own condition, or what `given` makes of it.
        """
        key = ("noisy", draw, t, view, given)
        if key not in self._known:
            self._known[key] = self.predict(self.noised(self.noise(draw), t, view), t, given)
        return self._known[key]

    def prompt_prediction(self, draw: int, t: int, given: Given | None = None) -> torch.Tensor:
        """eps_theta(x_T, t, c) for pure noise x_T, draw number `draw`: it depends on the condition alone.

        Computed once for all signals that ask for it.
        """
        key = ("prompt", draw, t, given)
        if key not in self._known:
            self._known[key] = self.predict(self.start(draw), t, given)
        return self._known[key]

    def start(self, draw: int) -> torch.Tensor:
        """Pure noise x_T [N, *latent_shape] of draw number `draw`, the same for all images."""
        return self.noise(draw).expand(len(self.images), -1, -1, -1)

    def loss(self, draw: int, t: int, view: View | None = None, given: Given | None = None) -> torch.Tensor:
        """||eps_theta(x_t, t, c) - eps||^2 [N], the mean over values, for draw number `draw` of the noise."""
        predicted = self.noisy_prediction(draw, t, view, given)
        squared: torch.Tensor = (predicted - self.noise(draw)).square().flatten(1).mean(1)
        return squared

    def gradient_norms(self, timesteps: Sequence[int], draws: Sequence[int] = (0,)) -> GradientNorms:
        """Losses and gradient norms at each timestep; see `GradientNorms`.

        draws: the number of the noise's draw at each timestep, or the one for all.
        """
        key = (tuple(timesteps), tuple(draws))
        if key not in self._gradients:
            self._own_calls += CALLS_OF_A_GRADIENT * len(timesteps)
            self._gradients[key] = gradient_norms(
                self._model, self.x_0(), self.condition, torch.cat([self.noise(draw) for draw in draws]), timesteps,
                self._gradient_batch,
            )  # fmt: skip
        return self._gradients[key]
