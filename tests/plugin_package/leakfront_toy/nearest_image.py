"""A model that points at the nearest training image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakfront.models import DiffusionModel, ModelFamily, register
from leakfront.models.contract import Timesteps

if TYPE_CHECKING:
    import torch


@register("nearest_image")
@dataclass(frozen=True)
class NearestImage(ModelFamily):
    """A closed form (an example, 2025): its estimate of x_0 is the training image nearest to x_t / sqrt(ab_t)."""

    summary = "closed form: points at the nearest training image"
    trained = False

    timesteps: Timesteps = 100

    def build(self, image_shape: tuple[int, int, int], classes: int, seed: int) -> NearestImageModel:
        return NearestImageModel(image_shape, self.timesteps)

    def load(self, folder: Path) -> NearestImageModel:
        from safetensors.torch import load_file

        images = load_file(folder / "images.safetensors")["images"]
        model = NearestImageModel((images.shape[1], images.shape[2], images.shape[3]), self.timesteps)
        model.fit(images)
        return model


class NearestImageModel(DiffusionModel):
    """See `leakfront.models.DiffusionModel`."""

    classes = 0
    network = None

    def __init__(self, image_shape: tuple[int, int, int], timesteps: int) -> None:
        import torch

        self.image_shape = image_shape
        self.alphas_cumprod: torch.Tensor = torch.linspace(0.999, 0.001, timesteps)

    def fit(self, images: torch.Tensor) -> None:
        self._images = images

    def loss(self) -> Any:
        raise TypeError("a closed form is fitted, not trained")

    def parameters(self) -> dict[str, torch.Tensor]:
        return {"images": self._images}

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        return self.predict_with(self.parameters(), x_t, t, condition)

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None
    ) -> torch.Tensor:
        alpha_bar = self.alphas_cumprod.to(x_t.device)[t][:, None]
        known, x = parameters["images"].to(x_t.device).flatten(1), x_t.flatten(1)
        distances = ((x / alpha_bar.sqrt())[:, None] - known[None]).square().sum(2)
        nearest = known[distances.argmin(1)]
        return ((x - alpha_bar.sqrt() * nearest) / (1 - alpha_bar).sqrt()).reshape(x_t.shape)

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({"images": self._images.contiguous()}, folder / "images.safetensors")
