"""The forward process, the training loss, and the conversion of network outputs to noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from leakfront.models import preconditioning
from leakfront.models.contract import Output


def per_image(values: torch.Tensor) -> torch.Tensor:
    """[N] -> [N, 1, 1, 1], to scale images with."""
    return values[:, None, None, None]


def add_noise(x_0: torch.Tensor, noise: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    """x_t = sqrt(ab) x_0 + sqrt(1 - ab) noise (Ho et al. 2020, Eq. 4); alpha_bar [N]."""
    return per_image(alpha_bar.sqrt()) * x_0 + per_image((1 - alpha_bar).sqrt()) * noise


def network_input(x_t: torch.Tensor, alpha_bar: torch.Tensor, prediction: Output) -> torch.Tensor:
    """What the network is called with at x_t: x_t itself, or scaled to variance 1 (EDM)."""
    return preconditioning.network_input(x_t, alpha_bar) if prediction == "edm" else x_t


def to_noise(output: torch.Tensor, x_t: torch.Tensor, alpha_bar: torch.Tensor, prediction: Output) -> torch.Tensor:
    """The noise prediction that follows from a network's output.

    v = sqrt(ab) eps - sqrt(1 - ab) x_0 (Salimans and Ho 2022, App. D), so eps = sqrt(ab) v + sqrt(1 - ab) x_t.
    """
    if prediction == "epsilon":
        return output
    if prediction == "edm":
        return preconditioning.noise(output, x_t, alpha_bar)
    root, rest = per_image(alpha_bar.sqrt()), per_image((1 - alpha_bar).sqrt())
    if prediction == "v_prediction":
        return root * output + rest * x_t
    return (x_t - root * output) / rest


def regression_target(
    x_0: torch.Tensor, noise: torch.Tensor, alpha_bar: torch.Tensor, prediction: Output
) -> torch.Tensor:
    """The output that the network is trained to give."""
    if prediction == "epsilon":
        return noise
    if prediction == "edm":
        return preconditioning.target(x_0, noise, alpha_bar)
    if prediction == "v_prediction":
        return per_image(alpha_bar.sqrt()) * noise - per_image((1 - alpha_bar).sqrt()) * x_0
    return x_0


@dataclass(frozen=True, eq=False)
class DenoisingLoss:
    """The simple loss of Ho et al. 2020, Eq. 14, computed for each image on its own.

    alphas_cumprod: the noise levels ab_t, float32 [T]. prediction: what the network outputs. conditional: whether the
    conditions are passed to the network. null: the condition int64 [...] that replaces a row's own with
    `null_probability` (Ho and Salimans 2022, arXiv 2207.12598, Alg. 1); None for no such rows. A defense can read these
    fields and put another loss of the same model in place.
    """

    alphas_cumprod: torch.Tensor
    prediction: Output
    conditional: bool
    null: torch.Tensor | None = None
    null_probability: float = 0.0

    def given(self, condition: torch.Tensor, generator: torch.Generator) -> torch.Tensor | None:
        """What the network gets of the conditions int64 [B, ...]; draws from the CPU generator only if there is null.

        The draws of all rows come first, so that a row's own does not depend on the others.
        """
        if not self.conditional:
            return None
        if self.null is None or not self.null_probability:
            return condition
        dropped = torch.rand(len(condition), generator=generator) < self.null_probability
        rows = dropped.to(condition.device).reshape(-1, *[1] * (condition.ndim - 1))
        return torch.where(rows, self.null.to(condition.device), condition)

    def __call__(
        self, network: torch.nn.Module, images: torch.Tensor, condition: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """The mean squared error [B] of each image at one uniformly drawn timestep with one Gaussian noise draw.

        network: called as diffusers' UNets are. images: x_0, float32 [B, C, H, W] in [-1, 1]. condition: int64
        [B, ...]. generator: a CPU generator, so that the draws are the same on every device.
        """
        timesteps = torch.randint(len(self.alphas_cumprod), (len(images),), generator=generator)
        noise = torch.randn(images.shape, generator=generator).to(images.device)
        alpha_bar = self.alphas_cumprod[timesteps].to(images.device)
        x_t = add_noise(images, noise, alpha_bar)
        given = self.given(condition, generator)
        x_t = network_input(x_t, alpha_bar, self.prediction)
        (output,) = network(x_t, timesteps.to(images.device), given, return_dict=False)
        target = regression_target(images, noise, alpha_bar, self.prediction)
        squared: torch.Tensor = (output - target).square()
        return squared.flatten(1).mean(1)


def cosine_alphas_cumprod(timesteps: int) -> torch.Tensor:
    """The noise levels of diffusers' squaredcos_cap_v2 (Nichol and Dhariwal 2021), float32 [T]."""
    from diffusers import DDPMScheduler

    scheduler: Any = DDPMScheduler(num_train_timesteps=timesteps, beta_schedule="squaredcos_cap_v2")
    alphas_cumprod: torch.Tensor = scheduler.alphas_cumprod
    return alphas_cumprod
