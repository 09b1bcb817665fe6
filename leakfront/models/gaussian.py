"""The closed-form model that memorizes no image: the Wiener denoiser of a fitted Gaussian."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from leakfront.models import DiffusionModel, ModelFamily, register
from leakfront.models.contract import PerExampleLoss, Timesteps

if TYPE_CHECKING:
    import torch


@register("gaussian")
@dataclass(frozen=True)
class Gaussian(ModelFamily):
    """A model that leaks no single image; it needs no training.

    It depends on the members only through their mean and covariance. A test of "no leakage at all" fits it to images
    outside the pool.
    """

    summary = "closed form: the Wiener denoiser of a Gaussian fitted to the training set"
    trained = False

    timesteps: Timesteps = 1000

    def build(
        self, image_shape: tuple[int, int, int], classes: int, seed: int, captions: Sequence[str] = ()
    ) -> GaussianDiffusion:
        return GaussianDiffusion(image_shape, self.timesteps)

    def load(self, folder: Path) -> GaussianDiffusion:
        from safetensors.torch import load_file

        saved = load_file(folder / "gaussian.safetensors")
        shape = tuple(int(v) for v in saved["image_shape"])
        model = GaussianDiffusion((shape[0], shape[1], shape[2]), self.timesteps)
        model.set_moments(saved["mean"], saved["covariance"])
        return model


class GaussianDiffusion(DiffusionModel):
    """E[x_0 | x_t] = m + sqrt(ab) S (ab S + (1 - ab) I)^-1 (x_t - sqrt(ab) m) for data N(m, S)."""

    classes = 0
    network = None

    def __init__(self, image_shape: tuple[int, int, int], timesteps: int) -> None:
        from leakfront.models.diffusion import cosine_alphas_cumprod

        self.image_shape = image_shape
        self.alphas_cumprod: torch.Tensor = cosine_alphas_cumprod(timesteps)

    def fit(self, images: torch.Tensor) -> None:
        import torch

        flat = images.double().flatten(1)
        self.set_moments(flat.mean(0), torch.cov(flat.T))

    def set_moments(self, mean: torch.Tensor, covariance: torch.Tensor) -> None:
        """Set the mean, float64 [d], and the covariance, float64 [d, d], of the flattened images."""
        import torch

        self._mean, self._covariance = mean, covariance
        values, self._basis = torch.linalg.eigh(covariance)
        self._variances = values.clamp(min=0)

    def loss(self) -> PerExampleLoss:
        raise TypeError("a closed form is fitted, not trained")

    def parameters(self) -> dict[str, torch.Tensor]:
        """The mean and the variances, which are the eigenvalues of the covariance in a fixed eigenbasis."""
        return {"mean": self._mean, "variances": self._variances}

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        return self.predict_with(self.parameters(), x_t, t, condition)

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None
    ) -> torch.Tensor:
        mean, variances = parameters["mean"], parameters["variances"]
        device, x_t, t = x_t.device, x_t.cpu(), t.cpu()  # closed forms are computed on the CPU, in float64
        alpha_bar = self.alphas_cumprod[t].double()[:, None]
        centred = (x_t.double().flatten(1) - alpha_bar.sqrt() * mean) @ self._basis
        # eps = (x_t - sqrt(ab) E[x_0]) / sqrt(1 - ab), in the eigenbasis of S
        noise = (1 - alpha_bar).sqrt() * centred / (alpha_bar * variances + 1 - alpha_bar)
        predicted: torch.Tensor = (noise @ self._basis.T).float()
        return predicted.reshape(x_t.shape).to(device)

    def save(self, folder: Path) -> None:
        import torch
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        moments = {"mean": self._mean, "covariance": self._covariance, "image_shape": torch.tensor(self.image_shape)}
        save_file({k: v.contiguous() for k, v in moments.items()}, folder / "gaussian.safetensors")
