"""Weight decay and dropout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakfront.defenses import Defense, register
from leakfront.errors import InputError

if TYPE_CHECKING:
    from leakfront.defenses import TrainingSetup


@register("regularize")
@dataclass(frozen=True)
class Regularize(Defense):
    """Train with decoupled weight decay (AdamW; Loshchilov and Hutter 2019, arXiv 1711.05101) and dropout.

    Each step shrinks the weights by learning rate x `weight_decay`; `dropout` is the share of activations set to 0 in
    every residual block, where the network has such layers (diffusers' UNets do). Both are off when the model is
    sampled. What keeps a classifier from overfitting need not keep a denoiser from it. No guarantee.
    """

    acts_on = "training"
    summary = "weight decay and dropout"

    weight_decay: float = 0.1
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.weight_decay < 0:
            raise InputError(f"regularize.weight_decay is {self.weight_decay}; it must not be negative")
        if not 0 <= self.dropout < 1:
            raise InputError(f"regularize.dropout is {self.dropout}; it must be at least 0 and below 1")

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        from torch import nn

        setup.weight_decay = self.weight_decay
        layers = [module for module in setup.network.modules() if isinstance(module, nn.Dropout)]
        if self.dropout and not layers:
            raise InputError("regularize.dropout is set, but the network has no dropout layers; set it to 0")
        for layer in layers:
            layer.p = self.dropout or layer.p
        return setup
