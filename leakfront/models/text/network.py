"""A text encoder and a UNet with cross-attention as one network: optimizer, average and gradients reach both."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class TextUNet(nn.Module):
    """Called as diffusers' UNets are, with token ids in place of classes."""

    def __init__(self, text_encoder: nn.Module, unet: nn.Module) -> None:
        super().__init__()
        self.text_encoder, self.unet = text_encoder, unet

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """The encoder's last hidden state, float32 [N, L, d], of token ids int64 [N, L]."""
        hidden: torch.Tensor = self.text_encoder(input_ids=tokens, return_dict=True).last_hidden_state
        return hidden

    def forward(
        self, x_t: torch.Tensor, timesteps: torch.Tensor, condition: torch.Tensor, return_dict: bool = False
    ) -> tuple[torch.Tensor]:
        """The UNet's output [N, C, H, W] for x_t of that shape.

        condition: token ids int64 [N, L], or their embedding float32 [N, L, d]. Always a tuple, as for
        `return_dict=False`.
        """
        embedding = condition if condition.is_floating_point() else self.embed(condition)
        output: Any = self.unet(x_t, timesteps, encoder_hidden_states=embedding, return_dict=False)
        return (output[0],)
