"""The autoencoder of latent diffusion models: images to latents and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

SLICE = 2**21  # pixels that are encoded or decoded at once: 8 images of 512x512


class Autoencoder(nn.Module):
    """diffusers' AutoencoderKL, with latents on the scale on which the denoiser was trained; float32.

    A latent is (z - shift) scale for the posterior mean z (Rombach et al. 2022, arXiv 2112.10752, App. G).
    channels: of a latent. factor: how many pixels a side stand for one latent position. encoded, decoded: how many
    images passed, apart from the calls of the denoiser.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.shift, self.scale = network.config.shift_factor or 0.0, network.config.scaling_factor
        self.channels, self.factor = network.config.latent_channels, 2 ** (len(network.config.block_out_channels) - 1)
        self.encoded = self.decoded = 0

    @torch.no_grad()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """The latents, float32 [N, c, h, w], of images float32 [N, C, H, W] in [-1, 1]."""
        self.encoded += len(images)
        means = [self.network.encode(part).latent_dist.mean for part in self._slices(images, 1)]
        latents: torch.Tensor = (torch.cat(means) - self.shift) * self.scale
        return latents

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """The images, float32 [N, C, H, W], not clipped, of latents float32 [N, c, h, w]."""
        self.decoded += len(latents)
        parts = self._slices(latents / self.scale + self.shift, self.factor)
        return torch.cat([self.network.decode(part, return_dict=False)[0] for part in parts])

    def _slices(self, values: torch.Tensor, factor: int) -> tuple[torch.Tensor, ...]:
        pixels = values.shape[-2] * values.shape[-1] * factor**2
        return torch.split(values, max(SLICE // pixels, 1))
