"""Augmentation that the network is told of, and that is folded out of it at the end. See `Augment`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import UNet2DModel
from torch import nn

from leakfront.defenses.contract import PerExampleLoss
from leakfront.errors import InputError


def _moved(images: torch.Tensor, dimension: int, pixels: int) -> torch.Tensor:
    """Along one dimension, toward its end if `pixels` is positive; what comes in repeats the edge."""
    length = images.shape[dimension]
    source = (torch.arange(length, device=images.device) - pixels).clamp(0, length - 1)
    return images.index_select(dimension, source)


# (images [B, C, H, W], pixels) -> the same shape; the place in this list is what the network is told, 0 is none
AUGMENTATIONS: dict[str, Callable[[torch.Tensor, int], torch.Tensor]] = {
    "none": lambda images, pixels: images,
    "mirrored": lambda images, pixels: images.flip(3),
    "turned left": lambda images, pixels: torch.rot90(images, 1, (2, 3)),
    "upside down": lambda images, pixels: torch.rot90(images, 2, (2, 3)),
    "turned right": lambda images, pixels: torch.rot90(images, 3, (2, 3)),
    "moved left": lambda images, pixels: _moved(images, 3, -pixels),
    "moved right": lambda images, pixels: _moved(images, 3, pixels),
    "moved up": lambda images, pixels: _moved(images, 2, -pixels),
    "moved down": lambda images, pixels: _moved(images, 2, pixels),
}


def augmented(images: torch.Tensor, which: torch.Tensor, pixels: int) -> torch.Tensor:
    """Each of the images [B, C, H, W] by its own augmentation, `which` int64 [B]."""
    result = images.clone()
    for index, change in enumerate(AUGMENTATIONS.values()):
        result[which == index] = change(images[which == index], pixels)
    return result


def told_loss(loss: PerExampleLoss, probability: float, pixels: int) -> PerExampleLoss:
    """`loss` of images of which each is augmented with `probability`, by a network that is told how."""

    def of_augmented(
        network: nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        chosen = torch.rand(len(images), generator=generator) < probability
        which = torch.randint(1, len(AUGMENTATIONS), (len(images),), generator=generator)
        which = torch.where(chosen, which, 0).to(images.device)
        return loss(_Told(network, which), augmented(images, which, pixels), labels, generator)

    return of_augmented


def condition(network: nn.Module, shape: tuple[int, ...]) -> UNet2DModel:
    """Give a UNet for images of `shape` [..., H, W] an embedding of the augmentation, in place; see `fold`.

    The embedding is zero at first, so that the network starts as the one that it was. Raises `InputError` if it cannot
    be done.
    """
    if not isinstance(network, UNet2DModel):
        raise InputError(
            "augment.conditioned needs diffusers' UNet2DModel; in a stack it comes before what replaces the network"
        )
    if network.class_embedding is not None:
        raise InputError("augment.conditioned is set, but the network is already told classes; set it to false")
    if shape[-2] != shape[-1]:
        raise InputError(f"augment.conditioned turns images by 90 degrees, so they must be square; they are {shape}")
    width = network.time_embedding.linear_2.out_features
    network.class_embedding = nn.Embedding(len(AUGMENTATIONS), width, device=network.device)
    nn.init.zeros_(network.class_embedding.weight)
    return network


@torch.no_grad()
def fold(network: Any) -> UNet2DModel:
    """The network that is always told "none": emb = time_embedding(t) + class_embedding(0), whose last is a constant.

    It goes into the bias of the time embedding's last layer, in place; what is left is a UNet without classes.
    """
    network.time_embedding.linear_2.bias += network.class_embedding.weight[0]
    network.class_embedding = None
    assert isinstance(network, UNet2DModel)
    return network


class _Told(nn.Module):
    """A network with the augmentation of each image of the batch as its class."""

    def __init__(self, network: nn.Module, which: torch.Tensor) -> None:
        super().__init__()
        self._network, self._which = network, which

    def forward(self, x_t: torch.Tensor, timesteps: torch.Tensor, labels: None = None, **options: Any) -> Any:
        return self._network(x_t, timesteps, self._which, **options)
