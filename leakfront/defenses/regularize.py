"""Weight decay and dropout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Lt

from leakfront.defenses import Defense, TrainingSetup, register
from leakfront.errors import InputError


@register("regularize")
@dataclass(frozen=True)
class Regularize(Defense):
    """Train with decoupled weight decay (AdamW; Loshchilov and Hutter 2019, arXiv 1711.05101) and dropout.

    Each step shrinks the weights by learning rate x `weight_decay`. `dropout` is the share of activations set to 0 in
    every residual block, if the network has dropout layers (diffusers' UNets do). Both are off during sampling. Methods
    that keep a classifier from overfitting may not work for a denoiser. No guarantee.
    """

    acts_on = "training"
    summary = "weight decay and dropout"

    weight_decay: Annotated[float, Ge(0)] = 0.1
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        from torch import nn

        setup.weight_decay = self.weight_decay
        layers = [module for module in setup.network.modules() if isinstance(module, nn.Dropout)]
        if self.dropout and not layers:
            raise InputError("regularize.dropout is set, but the network has no dropout layers; set it to 0")
        for layer in layers:
            layer.p = self.dropout or layer.p
        return setup
