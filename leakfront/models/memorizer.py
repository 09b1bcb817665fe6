"""The closed-form model that memorizes every image: the optimal denoiser of a finite set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from leakfront.models import DiffusionModel, ModelFamily, register
from leakfront.models.contract import PerExampleLoss, Timesteps

if TYPE_CHECKING:
    import torch


@register("memorizer")
@dataclass(frozen=True)
class Memorizer(ModelFamily):
    """A model that leaks every image it was fitted to; it needs no training."""

    summary = "closed form: the optimal denoiser of the members, which memorizes all of them"
    trained = False

    timesteps: Timesteps = 1000

    def build(
        self, image_shape: tuple[int, int, int], classes: int, seed: int, captions: Sequence[str] = ()
    ) -> MemorizerDiffusion:
        return MemorizerDiffusion(image_shape, self.timesteps)

    def load(self, folder: Path) -> MemorizerDiffusion:
        from safetensors.torch import load_file

        images = load_file(folder / "memorizer.safetensors")["images"]
        model = MemorizerDiffusion((images.shape[1], images.shape[2], images.shape[3]), self.timesteps)
        model.fit(images)
        return model


class MemorizerDiffusion(DiffusionModel):
    """E[x_0 | x_t] = sum_i w_i x_i with w = softmax(-||x_t - sqrt(ab) x_i||^2 / (2 (1 - ab))) over the fitted images.

    This is the minimizer of the denoising loss over all functions when the data are a finite set (Gu et al. 2023,
    arXiv 2310.02664, Eq. 6); its samples are the fitted images themselves.
    """

    classes = 0
    network = None

    def __init__(self, image_shape: tuple[int, int, int], timesteps: int) -> None:
        from leakfront.models.diffusion import cosine_alphas_cumprod

        self.image_shape = image_shape
        self.alphas_cumprod: torch.Tensor = cosine_alphas_cumprod(timesteps)

    def fit(self, images: torch.Tensor) -> None:
        self._images = images

    def loss(self) -> PerExampleLoss:
        raise TypeError("a closed form is fitted, not trained")

    def parameters(self) -> dict[str, torch.Tensor]:
        return {"images": self._images}

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        return self.predict_with(self.parameters(), x_t, t, condition)

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None
    ) -> torch.Tensor:
        return optimal_noise(parameters["images"], x_t, self.alphas_cumprod[t.cpu()])

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({"images": self._images.contiguous()}, folder / "memorizer.safetensors")


def optimal_noise(
    images: torch.Tensor, x_t: torch.Tensor, alpha_bar: torch.Tensor, log_prior: torch.Tensor | None = None
) -> torch.Tensor:
    """The noise prediction (x_t - sqrt(ab) E[x_0 | x_t]) / sqrt(1 - ab) for an x_0 that is one of M images.

    Returns float32 [N, C, H, W]. images: [M, C, H, W]. x_t: float32 [N, C, H, W]. alpha_bar: [N]. log_prior: float64
    [N, M], how likely each image is before x_t is seen; equally likely by default.
    """
    import torch

    device, x_t = x_t.device, x_t.cpu()  # closed forms are computed on the CPU, in float64
    alpha_bar = alpha_bar.double()[:, None]
    x = x_t.double().flatten(1)
    known = images.double().flatten(1)
    # ||x_t - sqrt(ab) x_i||^2 without ||x_t||^2, which cancels in the softmax
    squared = alpha_bar * known.square().sum(1) - 2 * alpha_bar.sqrt() * (x @ known.T)
    likelihood = -squared / (2 * (1 - alpha_bar))
    weights = torch.softmax(likelihood if log_prior is None else likelihood + log_prior, dim=1)
    x_0 = weights @ known
    return ((x - alpha_bar.sqrt() * x_0) / (1 - alpha_bar).sqrt()).float().reshape(x_t.shape).to(device)
