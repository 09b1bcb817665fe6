"""A small text-to-image network, and adapters of its attention that change what it computes."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch

from leakfront.models.adapters.layers import adapted_layers, add_adapters, attention_layers
from leakfront.models.text.model import TextToImageDiffusion
from leakfront.models.text_to_image import TextToImage

FAMILY = TextToImage(channels=(8, 8), norm_groups=4, text_width=8, text_heads=2)
CAPTIONS = ("a seven, slanted", "a one by rosa weber")


@cache
def _base() -> TextToImageDiffusion:
    model = FAMILY.build((1, 8, 8), 10, 3, CAPTIONS)
    model.network.eval().requires_grad_(False)
    return model


def model_of(network: Any) -> TextToImageDiffusion:
    """A model with the base's tokenizer and noise levels around a network."""
    changed = copy.copy(_base())
    changed.network = network
    return changed


def base_network() -> Any:
    """A copy of the network without adapters."""
    return copy.deepcopy(_base().network)


def adapted_network(rank: int = 2) -> Any:
    """The network with adapters, A and B drawn at random."""
    network = base_network()
    torch.manual_seed(0)
    add_adapters(network, attention_layers(network), rank)
    with torch.no_grad():
        for layer in adapted_layers(network).values():
            layer.lora_B["default"].weight.normal_()
    return network


def output(network: Any) -> torch.Tensor:
    """What the network computes for two images, timesteps and captions."""
    x_t = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    tokens = _base().conditions(torch.zeros(2, dtype=torch.long), CAPTIONS)
    with torch.no_grad():
        (found,) = network(x_t, torch.tensor([20, 700]), tokens)
    return found
