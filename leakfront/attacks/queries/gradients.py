"""Per-image gradients of the denoising loss by torch.func, exact for every network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from leakfront.models.contract import DiffusionModel


class GradientNorms(NamedTuple):
    """Losses and gradient norms of N images at T timesteps, with respect to K parameter tensors; float32.

    loss, of_input and of_parameters: [N, T], the loss, ||grad_x||^2 and ||grad_theta||^2 at each timestep.
    of_mean: [N, K], for each tensor the norm of the gradient of the mean loss over timesteps.
    mean: [N, K], for each tensor the mean over timesteps of the gradient's norm.
    """

    loss: torch.Tensor
    of_input: torch.Tensor
    of_parameters: torch.Tensor
    of_mean: torch.Tensor
    mean: torch.Tensor


def gradient_norms(
    model: DiffusionModel,
    images: torch.Tensor,
    condition: torch.Tensor,
    noise: torch.Tensor,
    timesteps: Sequence[int],
    batch_size: int,
) -> GradientNorms:
    """Losses and gradient norms of all images, computed in batches of `batch_size`.

    images: float32 [N, C, H, W] in [-1, 1]. condition: int64 [N, ...]. noise: the same for all images, [T, C, H, W], or
    [1, C, H, W] for all timesteps too. timesteps: T numbers.
    """
    rows = [slice(first, first + batch_size) for first in range(0, len(images), batch_size)]
    with sdpa_kernel(SDPBackend.MATH):  # vmap cannot map the fused kernels over images
        parts = [_of_batch(model, images[r], condition[r], noise, timesteps) for r in rows]
    return GradientNorms(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _of_batch(
    model: DiffusionModel, images: torch.Tensor, condition: torch.Tensor, noise: torch.Tensor, timesteps: Sequence[int]
) -> GradientNorms:
    parameters = model.parameters()
    alphas_cumprod = model.alphas_cumprod.to(images.device)
    losses, of_input, of_parameters = [], [], []
    total: dict[str, torch.Tensor] = {}
    norms: list[torch.Tensor] = []
    for t, same in zip(timesteps, noise.expand(len(timesteps), *noise.shape[1:])[:, None], strict=True):
        alpha_bar, at = alphas_cumprod[t], torch.full((1,), t, device=images.device)

        def loss(
            values: dict[str, torch.Tensor],
            x_0: torch.Tensor,
            given: torch.Tensor,
            alpha_bar: torch.Tensor = alpha_bar,
            at: torch.Tensor = at,
            same: torch.Tensor = same,
        ) -> torch.Tensor:
            x_t = alpha_bar.sqrt() * x_0[None] + (1 - alpha_bar).sqrt() * same
            return (model.predict_with(values, x_t, at, given[None]) - same).square().mean()

        per_image = torch.func.vmap(torch.func.grad_and_value(loss, argnums=(0, 1)), in_dims=(None, 0, 0))
        (by_tensor, by_pixel), value = per_image(parameters, images, condition)
        squares = torch.stack([by_tensor[name].flatten(1).square().sum(1) for name in parameters], dim=1)
        losses.append(value)
        of_input.append(by_pixel.flatten(1).square().sum(1))
        of_parameters.append(squares.sum(1))
        norms.append(squares.sqrt())
        for name in parameters:
            total[name] = by_tensor[name] if name not in total else total[name] + by_tensor[name]
    of_mean = [total[name].flatten(1).norm(dim=1) / len(timesteps) for name in parameters]
    stacked = [torch.stack(values, dim=1) for values in (losses, of_input, of_parameters, of_mean)]
    kept = [values.detach().float() for values in (*stacked, torch.stack(norms).mean(0))]
    return GradientNorms(*kept)
