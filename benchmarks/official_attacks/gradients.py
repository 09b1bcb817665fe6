"""Gradients of the loss of each image, for the attacks on gradients.

The sources take one image at a time. torch.func takes a batch at once; the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.official_attacks.model import Model, Parameters, length

CHUNK = 50  # images whose gradients are held at once


class Gradients(NamedTuple):
    """Of n images: the loss [n], its gradient by the noised image [n, C, H, W], and by each parameter [n, …]."""

    loss: torch.Tensor
    by_input: torch.Tensor
    by_tensor: list[torch.Tensor]


def of_chunks(model: Model, timesteps: tuple[int, ...]) -> Iterator[list[Gradients]]:
    """For each chunk of images in order, the gradients at every timestep; each image and timestep has its own noise."""
    generator = model.generator()
    noise = torch.stack([model.noise(generator) for _ in timesteps])
    for first in range(0, len(model.images), CHUNK):
        rows = slice(first, first + CHUNK)
        with sdpa_kernel(SDPBackend.MATH):  # vmap cannot map the fused kernels over images
            yield [_at(model, model.images[rows], drawn[rows], t) for drawn, t in zip(noise, timesteps, strict=True)]


def _at(model: Model, images: torch.Tensor, noise: torch.Tensor, t: int) -> Gradients:
    def loss(parameters: Parameters, x_t: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        return (model.eps_with(parameters, x_t[None], t)[0] - drawn).square().mean()

    per_image = torch.func.vmap(torch.func.grad_and_value(loss, argnums=(0, 1)), in_dims=(None, 0, 0))
    (by_tensor, by_input), value = per_image(dict(model.parameters), model.noised(images, noise, t), noise)
    return Gradients(value.detach(), by_input.detach(), [by_tensor[name].detach() for name in model.parameters])


def norms(by_tensor: list[torch.Tensor]) -> torch.Tensor:
    """The norm of each parameter's gradient, [n, K]."""
    return torch.stack([length(gradient) for gradient in by_tensor], dim=1)
