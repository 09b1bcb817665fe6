"""Augmentation as a condition of the network, which is folded into its weights at the end. See `Augment`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import UNet2DModel
from torch import nn

from leakfront.errors import InputError
from leakfront.models.contract import PerExampleLoss


def _moved(images: torch.Tensor, dimension: int, pixels: int) -> torch.Tensor:
    """The images moved along one dimension, towards its end if `pixels` is positive; new pixels repeat the edge."""
    length = images.shape[dimension]
    source = (torch.arange(length, device=images.device) - pixels).clamp(0, length - 1)
    return images.index_select(dimension, source)


# (images [B, C, H, W], pixels) -> the same shape; the network gets the position in this list, 0 for none
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
    """The images [B, C, H, W], each changed by its own augmentation, `which` int64 [B]."""
    result = images.clone()
    for index, change in enumerate(AUGMENTATIONS.values()):
        result[which == index] = change(images[which == index], pixels)
    return result


def conditioned_loss(loss: PerExampleLoss, probability: float, pixels: int) -> PerExampleLoss:
    """`loss` with each image augmented with `probability`, and the network conditioned on the augmentation."""

    def of_augmented(
        network: nn.Module, images: torch.Tensor, condition: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        chosen = torch.rand(len(images), generator=generator) < probability
        which = torch.randint(1, len(AUGMENTATIONS), (len(images),), generator=generator)
        which = torch.where(chosen, which, 0).to(images.device)
        return loss(_Conditioned(network, which), augmented(images, which, pixels), condition, generator)

    return of_augmented


def condition(network: nn.Module, shape: tuple[int, ...]) -> UNet2DModel:
    """Add an embedding of the augmentation to a UNet for images of `shape` [..., H, W], in place; see `fold`.

    The embedding is zero at first, so the network starts with the outputs of the original one. Raises `InputError` for
    a network with classes or of another kind, and for images that are not square.
    """
    if not isinstance(network, UNet2DModel):
        raise InputError(
            "augment.conditioned needs diffusers' UNet2DModel; in a stack it must come before a defense that replaces "
            "the network"
        )
    if network.class_embedding is not None:
        raise InputError(
            "augment.conditioned is set, but the network is already conditioned on classes; set it to false"
        )
    if shape[-2] != shape[-1]:
        raise InputError(
            f"augment.conditioned rotates images by 90 degrees, so they must be square; their shape is {shape}"
        )
    width = network.time_embedding.linear_2.out_features
    network.class_embedding = nn.Embedding(len(AUGMENTATIONS), width, device=network.device)
    nn.init.zeros_(network.class_embedding.weight)
    return network


@torch.no_grad()
def fold(network: Any) -> UNet2DModel:
    """Fix the condition "none" in the network's weights, in place: emb = time_embedding(t) + class_embedding(0).

    The second term is a constant and is added to the bias of the time embedding's last layer. The result is a UNet
    without classes.
    """
    network.time_embedding.linear_2.bias += network.class_embedding.weight[0]
    network.class_embedding = None
    assert isinstance(network, UNet2DModel)
    return network


class _Conditioned(nn.Module):
    """Passes the augmentation of each image of the batch to `network` as its class."""

    def __init__(self, network: nn.Module, which: torch.Tensor) -> None:
        super().__init__()
        self._network, self._which = network, which

    def forward(self, x_t: torch.Tensor, timesteps: torch.Tensor, condition: None = None, **options: Any) -> Any:
        return self._network(x_t, timesteps, self._which, **options)
