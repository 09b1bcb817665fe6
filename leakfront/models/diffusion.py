"""The forward process, the training loss and the change between what networks predict and noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch

Prediction = Literal["epsilon", "v_prediction", "sample"]
PerExampleLoss = Callable[[torch.nn.Module, torch.Tensor, torch.Tensor, torch.Generator], torch.Tensor]


def per_image(values: torch.Tensor) -> torch.Tensor:
    """[N] -> [N, 1, 1, 1], to scale images with."""
    return values[:, None, None, None]


def add_noise(x_0: torch.Tensor, noise: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    """x_t = sqrt(ab) x_0 + sqrt(1 - ab) noise (Ho et al. 2020, Eq. 4); alpha_bar [N]."""
    return per_image(alpha_bar.sqrt()) * x_0 + per_image((1 - alpha_bar).sqrt()) * noise


def to_noise(output: torch.Tensor, x_t: torch.Tensor, alpha_bar: torch.Tensor, prediction: Prediction) -> torch.Tensor:
    """The noise that a network's output stands for.

    v = sqrt(ab) eps - sqrt(1 - ab) x_0 (Salimans and Ho 2022, App. D), so eps = sqrt(ab) v + sqrt(1 - ab) x_t.
    """
    if prediction == "epsilon":
        return output
    root, rest = per_image(alpha_bar.sqrt()), per_image((1 - alpha_bar).sqrt())
    if prediction == "v_prediction":
        return root * output + rest * x_t
    return (x_t - root * output) / rest


def regression_target(
    x_0: torch.Tensor, noise: torch.Tensor, alpha_bar: torch.Tensor, prediction: Prediction
) -> torch.Tensor:
    """What the network is trained to put out."""
    if prediction == "epsilon":
        return noise
    if prediction == "v_prediction":
        return per_image(alpha_bar.sqrt()) * noise - per_image((1 - alpha_bar).sqrt()) * x_0
    return x_0


def denoising_loss(alphas_cumprod: torch.Tensor, prediction: Prediction, conditional: bool) -> PerExampleLoss:
    """The simple loss of Ho et al. 2020, Eq. 14, of each image on its own.

    The function returned takes (network, x_0 float32 [B, C, H, W] in [-1, 1], labels int64 [B], generator) and returns
    [B]: the mean squared error at one uniformly drawn timestep and one Gaussian draw for each image. The draws are made
    on the CPU, so that they are the same wherever the network is. `network` is called as diffusers' UNets are; labels
    reach it only if it is `conditional`. The three arguments are the function's attributes, for those who put another
    loss of the same model in its place.
    """

    def loss(
        network: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        timesteps = torch.randint(len(alphas_cumprod), (len(images),), generator=generator)
        noise = torch.randn(images.shape, generator=generator).to(images.device)
        alpha_bar = alphas_cumprod[timesteps].to(images.device)
        x_t = add_noise(images, noise, alpha_bar)
        (output,) = network(x_t, timesteps.to(images.device), labels if conditional else None, return_dict=False)
        wanted = regression_target(images, noise, alpha_bar, prediction)
        squared: torch.Tensor = (output - wanted).square()
        return squared.flatten(1).mean(1)

    vars(loss).update(alphas_cumprod=alphas_cumprod, prediction=prediction, conditional=conditional)
    return loss


def cosine_alphas_cumprod(timesteps: int) -> torch.Tensor:
    """The noise levels of diffusers' squaredcos_cap_v2 (Nichol and Dhariwal 2021), float32 [T]."""
    from diffusers import DDPMScheduler

    scheduler: Any = DDPMScheduler(num_train_timesteps=timesteps, beta_schedule="squaredcos_cap_v2")
    alphas_cumprod: torch.Tensor = scheduler.alphas_cumprod
    return alphas_cumprod
