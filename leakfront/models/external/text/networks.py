"""Text encoders and a denoiser as one network: the Stable Diffusion pipelines with a UNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


class TextNetwork(nn.Module):
    """What a pipeline makes of latents, timesteps and captions; called as diffusers' UNets are.

    A condition is the token ids int64 [N, L1 + L2 + …] of all its tokenizers, one after the other. An embedding is one
    tensor float32 [N, L, d]; where a network also takes a pooled embedding, this is its last row, padded with zeros.

    denoiser: the network that predicts. encoders: the text encoders. lengths: the tokens of each. apart: the text
    encoders do not move with the network to another device.
    """

    encoders: nn.ModuleList

    def __init__(self, denoiser: Any, encoders: Sequence[Any], lengths: Sequence[int], apart: bool = False) -> None:
        super().__init__()
        self.denoiser, self.lengths = denoiser, tuple(lengths)
        if apart:
            object.__setattr__(self, "encoders", nn.ModuleList(encoders))  # no sub-module
        else:
            self.encoders = nn.ModuleList(encoders)

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """The embedding float32 [N, L, d] of token ids int64 [N, L1 + L2 + …]."""
        raise NotImplementedError

    def predict(self, x_t: torch.Tensor, timesteps: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """What the denoiser outputs [N, C, H, W] for noised latents of that shape."""
        raise NotImplementedError

    def forward(
        self, x_t: torch.Tensor, timesteps: torch.Tensor, condition: torch.Tensor, return_dict: bool = False
    ) -> tuple[torch.Tensor]:
        """The output, float32; computed in the precision of the denoiser's weights. Always a tuple."""
        embedding = condition if condition.is_floating_point() else self.embed(condition)
        dtype = self.denoiser.dtype
        return (self.predict(x_t.to(dtype), timesteps, embedding.to(dtype)).float(),)


class StableDiffusion(TextNetwork):
    """Stable Diffusion 1 and 2: the encoder's last hidden state goes to the UNet's cross-attention."""

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.encoders[0](input_ids=tokens, return_dict=True).last_hidden_state
        return hidden.float()

    def predict(self, x_t: torch.Tensor, timesteps: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.denoiser(x_t, timesteps, encoder_hidden_states=embedding, return_dict=False)[0]
        return output
