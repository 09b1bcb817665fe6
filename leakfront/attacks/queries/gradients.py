"""Per-image gradients of the denoising loss, and derivatives of predictions, by torch.func: exact for every network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    x_0: torch.Tensor,
    condition: torch.Tensor,
    noise: torch.Tensor,
    timesteps: Sequence[int],
    batch_size: int,
) -> GradientNorms:
    """Losses and gradient norms of all images, computed in batches of `batch_size`.

    x_0: float32 [N, *latent_shape], in pixel space the images. condition: int64 [N, ...]. noise: the same for all
    images, [T, *latent_shape], or [1, *latent_shape] for all timesteps too. timesteps: T numbers.
    """
    rows = [slice(first, first + batch_size) for first in range(0, len(x_0), batch_size)]
    with sdpa_kernel(SDPBackend.MATH):  # vmap cannot map the fused kernels over images
        parts = [_of_batch(model, x_0[r], condition[r], noise, timesteps) for r in rows]
    return GradientNorms(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _of_batch(
    model: DiffusionModel, x_0: torch.Tensor, condition: torch.Tensor, noise: torch.Tensor, timesteps: Sequence[int]
) -> GradientNorms:
    parameters = model.parameters()
    alphas_cumprod = model.alphas_cumprod.to(x_0.device)
    losses, of_input, of_parameters = [], [], []
    total: dict[str, torch.Tensor] = {}
    norms: list[torch.Tensor] = []
    for t, same in zip(timesteps, noise.expand(len(timesteps), *noise.shape[1:])[:, None], strict=True):
        alpha_bar, at = alphas_cumprod[t], torch.full((1,), t, device=x_0.device)

        def loss(
            values: dict[str, torch.Tensor],
            one: torch.Tensor,
            given: torch.Tensor,
            alpha_bar: torch.Tensor = alpha_bar,
            at: torch.Tensor = at,
            same: torch.Tensor = same,
        ) -> torch.Tensor:
            x_t = alpha_bar.sqrt() * one[None] + (1 - alpha_bar).sqrt() * same
            return (model.predict_with(values, x_t, at, given[None]) - same).square().mean()

        per_image = torch.func.vmap(torch.func.grad_and_value(loss, argnums=(0, 1)), in_dims=(None, 0, 0))
        (by_tensor, by_pixel), value = per_image(parameters, x_0, condition)
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


def derivative(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, along: torch.Tensor) -> torch.Tensor:
    """J v, the derivative of a function at x along v = `along`, by forward-mode differentiation."""
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no forward mode
        tangent: torch.Tensor = torch.func.jvp(function, (x.contiguous(),), (along.contiguous(),))[1]
    return tangent.detach()
