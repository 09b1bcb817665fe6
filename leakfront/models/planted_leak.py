"""The closed-form model that leaks only the planted images: a Gaussian that returns a copy with probability p."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from leakfront.models import ModelFamily, register
from leakfront.models.contract import Timesteps
from leakfront.models.gaussian import GaussianDiffusion

if TYPE_CHECKING:
    import torch


@register("planted_leak")
@dataclass(frozen=True)
class PlantedLeak(ModelFamily):
    """A model with a known leak; it needs no training.

    The images that occur more than once in the training set are the planted ones. With `probability`, a sample is one
    of them, all equally likely; otherwise it is drawn from a Gaussian fitted to the other images. So the leak has a
    known rate: G samples contain m (1 - (1 - probability / m)^G) of the m planted images in expectation.
    """

    summary = "closed form: a Gaussian that returns duplicated images with a set probability"
    trained = False

    probability: Annotated[float, Interval(ge=0, le=1)] = 0.3
    timesteps: Timesteps = 1000

    def build(
        self, image_shape: tuple[int, int, int], classes: int, seed: int, captions: Sequence[str] = ()
    ) -> PlantedLeakDiffusion:
        return PlantedLeakDiffusion(image_shape, self.timesteps, self.probability)

    def load(self, folder: Path) -> PlantedLeakDiffusion:
        from safetensors.torch import load_file

        saved = load_file(folder / "planted_leak.safetensors")
        shape = tuple(int(v) for v in saved["image_shape"])
        model = PlantedLeakDiffusion((shape[0], shape[1], shape[2]), self.timesteps, self.probability)
        model.set_parts(saved["planted"], saved["mean"], saved["covariance"])
        return model


class PlantedLeakDiffusion(GaussianDiffusion):
    """E[x_0 | x_t] of the mixture (1 - p) N(mean, covariance) + p/m sum_k delta(x_k).

    This is the mean of the components' own E[x_0 | x_t], weighted by their posterior probabilities. The component of a
    point x_k contributes x_k itself, with the likelihood N(x_t; sqrt(ab) x_k, (1 - ab) I).
    """

    def __init__(self, image_shape: tuple[int, int, int], timesteps: int, probability: float) -> None:
        super().__init__(image_shape, timesteps)
        self._probability = probability

    def fit(self, images: torch.Tensor) -> None:
        """Take the training images, float32 [N, C, H, W]; the planted images are those that occur more than once."""
        import torch

        flat, times = torch.unique(images.double().flatten(1), dim=0, return_counts=True)
        once = flat[times == 1]
        self.set_parts(flat[times > 1], once.mean(0), torch.cov(once.T))

    def set_parts(self, planted: torch.Tensor, mean: torch.Tensor, covariance: torch.Tensor) -> None:
        """Set the planted images, float64 [m, d], and the mean [d] and covariance [d, d] of the others."""
        self._planted = planted
        self.set_moments(mean, covariance)

    def parameters(self) -> dict[str, torch.Tensor]:
        return {**super().parameters(), "planted": self._planted}

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None
    ) -> torch.Tensor:
        import torch

        of_gaussian = super().predict_with(parameters, x_t, t, condition)
        planted = parameters["planted"]
        if not len(planted) or not self._probability:
            return of_gaussian
        device, x = x_t.device, x_t.cpu().double().flatten(1)  # closed forms are computed on the CPU, in float64
        alpha_bar = self.alphas_cumprod[t.cpu()].double()[:, None]
        rest = 1 - alpha_bar
        to_points = (x[:, None] - alpha_bar.sqrt()[:, None] * planted[None]).square().sum(2)
        at_points = -0.5 * (to_points / rest + x.shape[1] * rest.log())
        spread = alpha_bar * parameters["variances"] + rest
        centred = (x - alpha_bar.sqrt() * parameters["mean"]) @ self._basis
        at_gaussian = -0.5 * (centred.square() / spread + spread.log()).sum(1, keepdim=True)
        share = torch.tensor(self._probability, dtype=torch.float64)
        prior = torch.cat([(1 - share).log()[None], (share / len(planted)).log().expand(len(planted))])
        weights = torch.softmax(prior + torch.cat([at_gaussian, at_points], dim=1), dim=1)
        # in terms of noise, which is linear in E[x_0]: eps = (x_t - sqrt(ab) E[x_0]) / sqrt(1 - ab)
        of_points = (
            x * weights[:, 1:].sum(1, keepdim=True) - alpha_bar.sqrt() * (weights[:, 1:] @ planted)
        ) / rest.sqrt()
        mixed: torch.Tensor = of_gaussian.cpu().double().flatten(1) * weights[:, :1] + of_points
        return mixed.float().reshape(x_t.shape).to(device)

    def save(self, folder: Path) -> None:
        import torch
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        shape = torch.tensor(self.image_shape)
        parts = {"mean": self._mean, "covariance": self._covariance, "planted": self._planted, "image_shape": shape}
        save_file({k: v.contiguous() for k, v in parts.items()}, folder / "planted_leak.safetensors")
