"""What the harness asks of a model, whether it was trained or is known in closed form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from leakfront.errors import InputError

if TYPE_CHECKING:
    import torch

    from leakfront.models.diffusion import PerExampleLoss

MAX_TIMESTEPS = 100_000  # the literature has 1,000 to 4,000; noise levels are computed one by one


def check_timesteps(timesteps: int) -> None:
    """Raise `InputError` for a number of noise levels that no model has."""
    if not 1 <= timesteps <= MAX_TIMESTEPS:
        raise InputError(f"model.timesteps is {timesteps}; it must lie in 1 … {MAX_TIMESTEPS}")


class DiffusionModel(Protocol):
    """A denoiser with its forward process x_t = sqrt(ab_t) x_0 + sqrt(1 - ab_t) eps.

    image_shape: (C, H, W). alphas_cumprod: ab_t, float32 [T]. classes: number of classes the model is conditioned on,
    0 if it is unconditional. network: what a training loop optimises; None for a closed form.
    """

    image_shape: tuple[int, int, int]
    alphas_cumprod: torch.Tensor
    classes: int
    network: torch.nn.Module | None

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """eps_theta(x_t, t): float32 [N, C, H, W] for x_t of that shape, t int64 [N] in 0 … T-1, labels int64 [N]."""

    def parameters(self) -> dict[str, torch.Tensor]:
        """What was learned, by name: a network's weights, a closed form's images or moments."""

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        """`predict_noise` as a function of `parameters()`, which torch.func can differentiate and map over."""

    def fit(self, images: torch.Tensor) -> None:
        """Closed forms only: take the training images, float32 [N, C, H, W] in [-1, 1]."""

    def loss(self) -> PerExampleLoss:
        """Trained models only: the training loss of each image, see `leakfront.models.diffusion.denoising_loss`."""

    def save(self, folder: Path) -> None:
        """Write the model as safetensors and JSON; a trained one as a pipeline folder that diffusers loads."""


class ModelFamily(Protocol):
    """A frozen dataclass of a model's settings."""

    name: ClassVar[str]
    summary: ClassVar[str]
    trained: ClassVar[bool]

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Raise `InputError` if the model cannot be built for images (C, H, W)."""

    def build(self, image_shape: tuple[int, int, int], classes: int, seed: int) -> DiffusionModel:
        """A model with fresh weights; the same seed gives the same weights."""

    def load(self, folder: Path) -> DiffusionModel:
        """The model that `save` wrote to `folder`."""
