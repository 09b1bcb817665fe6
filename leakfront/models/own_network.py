"""Adapters for a network of your own PyTorch code, which needs no pipeline folder.

Give any object with two members: `alphas_cumprod`, the noise levels ab_t [T], and `predict_noise(x_t, t, labels)`, the
noise in x_t = sqrt(ab_t) x_0 + sqrt(1 - ab_t) eps for images in [-1, 1]. A module, so that gradients can be taken:

    class Mine(torch.nn.Module):
        def __init__(self, network, betas):
            super().__init__()
            self.network = network
            self.alphas_cumprod = torch.cumprod(1 - betas, dim=0)

        def predict_noise(self, x_t, t, labels):
            return self.network(x_t, t)

    model = OwnNetwork(Mine(network, betas), image_shape=(3, 32, 32))

A network that removes noise of a standard deviation sigma, such as EDM's D(x; sigma), needs no class of its own:

    model = OwnNetwork(SigmaDenoiser(network, karras_sigmas()), image_shape=(3, 32, 32))
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch

from leakfront.errors import InputError
from leakfront.models.contract import MAX_TIMESTEPS, DiffusionModel, PerExampleLoss


class PredictsNoise(Protocol):
    """What a network of your own code must offer.

    alphas_cumprod: ab_t, floats [T] in (0, 1] that never rise. predict_noise: float32 [N, C, H, W] for x_t of that
    shape, t int64 [N] in 0 … T - 1, and labels int64 [N], which are None for an unconditional model.
    """

    alphas_cumprod: torch.Tensor

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor: ...


class OwnNetwork(DiffusionModel):
    """A network of your own code as attacks and samplers see it (`leakfront.models.contract.DiffusionModel`).

    model: an object as `PredictsNoise` describes; a torch.nn.Module if attacks on gradients are wanted, put into
    evaluation mode. image_shape: (C, H, W). classes: the number of classes that it is conditioned on, 0 for none.
    Raises `InputError` for noise levels or predictions of another form; the network is asked once, for two images.
    """

    def __init__(self, model: PredictsNoise, image_shape: tuple[int, int, int], classes: int = 0) -> None:
        self.image_shape = image_shape
        self.classes = classes
        self.alphas_cumprod = _levels(model)
        self.network = model.eval() if isinstance(model, torch.nn.Module) else None
        self._call = _Call(model)
        self._check()

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        predicted: torch.Tensor = self._call(x_t, t, condition if self.classes else None)
        return predicted

    def parameters(self) -> dict[str, torch.Tensor]:
        """The network's weights by name; `InputError` for a model that is no module."""
        found = {name: value.detach() for name, value in self._call.named_parameters()}
        if not found:
            raise InputError("attacks on gradients need the weights of a network: give a torch.nn.Module as the model")
        return found

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor
    ) -> torch.Tensor:
        arguments = (x_t, t, condition if self.classes else None)
        predicted: torch.Tensor = torch.func.functional_call(self._call, parameters, arguments)
        return predicted

    def fit(self, images: torch.Tensor) -> None:
        """Do nothing: the model stays as it was trained."""

    def loss(self) -> PerExampleLoss:
        raise TypeError("a network of your own code is attacked, not trained")

    def save(self, folder: Path) -> None:
        raise TypeError("a network of your own code cannot be written to a folder")

    def _check(self) -> None:
        """Ask for the noise in two images, at the first and the last timestep."""
        place = next((value.device for value in self._call.parameters()), torch.device("cpu"))
        x_t = torch.randn(2, *self.image_shape, generator=torch.Generator().manual_seed(0)).to(place)
        t, labels = torch.tensor([0, len(self.alphas_cumprod) - 1], device=place), torch.zeros(2, dtype=torch.long)
        with torch.no_grad():
            found: Any = self.predict_noise(x_t, t, labels.to(place))
        if not isinstance(found, torch.Tensor) or found.shape != x_t.shape or found.dtype != torch.float32:
            what = f"{found.dtype} {list(found.shape)}" if isinstance(found, torch.Tensor) else type(found).__name__
            raise InputError(
                f"predict_noise returns {what} for x_t {list(x_t.shape)}; it must return float32 of that shape"
            )
        if not found.isfinite().all():
            raise InputError("predict_noise returns values that are not finite for Gaussian noise as x_t")


class SigmaDenoiser(torch.nn.Module):
    """Noise predictions of a network that removes noise of a known standard deviation, such as EDM's D(x; sigma).

    With x = x_0 + sigma eps, D(x; sigma) estimates x_0 (Karras et al. 2022, arXiv 2206.00364, Eq. 2 and 3). Since
    x_t = sqrt(ab_t) x at sigma^2 = (1 - ab_t) / ab_t, the noise is
    eps = (x - D(x; sigma)) / sigma at x = x_t / sqrt(ab_t).

    denoise: a network called as denoise(x, sigma, labels) with x float32 [N, C, H, W], sigma float32 [N] and labels
    int64 [N] or None; it returns x_0 [N, C, H, W]. sigmas: the noise levels [T] that stand for t = 0 … T - 1, rising;
    by default those of `karras_sigmas`.
    """

    def __init__(self, denoise: Callable[..., torch.Tensor], sigmas: torch.Tensor | None = None) -> None:
        super().__init__()
        self.denoise = denoise
        self.sigmas = (karras_sigmas() if sigmas is None else sigmas).double().cpu()
        self.alphas_cumprod = alphas_cumprod_of(self.sigmas)

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        sigma = self.sigmas.to(x_t.device)[t]
        by_image = sigma[:, None, None, None]
        x = x_t.double() * (1 + by_image**2).sqrt()  # x_t / sqrt(ab_t)
        x_0 = self.denoise(x.float(), sigma.float(), labels)
        return ((x - x_0) / by_image).float()


def alphas_cumprod_of(sigmas: torch.Tensor) -> torch.Tensor:
    """ab_t = 1 / (1 + sigma_t^2), float32 [T]: the levels at which sqrt(ab_t) (x_0 + sigma_t eps) is x_t.

    Raises `InputError` unless all sigmas are positive, finite and rising.
    """
    sigmas = sigmas.double()
    if sigmas.ndim != 1 or not sigmas.isfinite().all() or not (sigmas > 0).all() or not (sigmas.diff() > 0).all():
        raise InputError("sigmas must be positive numbers [T] that rise; turn the grid of a sampler round if it falls")
    return (1 / (1 + sigmas**2)).float()


def karras_sigmas(
    timesteps: int = 1000, smallest: float = 0.002, largest: float = 80.0, rho: float = 7.0
) -> torch.Tensor:
    """EDM's noise levels, rising, float64 [T] (Karras et al. 2022, Eq. 5): evenly spaced in sigma^(1 / rho)."""
    ends = smallest ** (1 / rho), largest ** (1 / rho)
    return torch.linspace(*ends, timesteps, dtype=torch.float64) ** rho


class _Call(torch.nn.Module):
    """A module whose forward pass is the model's `predict_noise`, so that its weights can be replaced."""

    def __init__(self, model: PredictsNoise) -> None:
        super().__init__()
        self.model = model

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        return self.model.predict_noise(x_t, t, labels)


def _levels(model: PredictsNoise) -> torch.Tensor:
    """The model's noise levels, float32 [T]; `InputError` if they are none."""
    levels = torch.as_tensor(model.alphas_cumprod).detach().float().cpu()
    if levels.ndim != 1 or not 1 <= len(levels) <= MAX_TIMESTEPS:
        raise InputError(
            f"alphas_cumprod has the shape {list(levels.shape)}; it must be [T], with T up to {MAX_TIMESTEPS}"
        )
    if not ((levels > 0) & (levels <= 1)).all() or not (levels.diff() <= 0).all():
        raise InputError(
            "alphas_cumprod must lie in (0, 1] and never rise: it is the cumulative product of 1 - beta, and not beta"
        )
    return levels
