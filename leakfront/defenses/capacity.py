"""A smaller network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from leakfront.defenses import Defense, register
from leakfront.errors import InputError

if TYPE_CHECKING:
    from leakfront.defenses import TrainingSetup


@register("capacity")
@dataclass(frozen=True)
class Capacity(Defense):
    """Train a network whose layers are `width` times as wide, rounded to multiples of 4.

    A network with fewer parameters can store fewer images: Gu et al. 2023 (arXiv 2310.02664, §4) find that a diffusion
    model memorizes its training set only up to a size that grows with its width. No guarantee; the cost is quality, the
    gain beside privacy is time. Its normalization has fewer groups where there would be fewer than two channels in
    each: a group of one channel would take away all that the network is told about time. Attention has narrower heads
    where a head would be wider than the layer. It works on diffusers' UNets, and stands first in a stack, since the
    network is made anew.
    """

    acts_on = "training"
    summary = "a narrower network"

    width: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.width <= 1:
            raise InputError(f"capacity.width is {self.width}; it must be above 0 and at most 1")

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        import torch

        from leakfront.seeds import derive_seed

        network: Any = setup.network
        config = getattr(network, "config", None)
        if config is None or "block_out_channels" not in config:
            raise InputError("capacity needs a diffusers UNet; this model has no layers whose width could be changed")
        narrow = tuple(max(4, round(self.width * c / 4) * 4) for c in config["block_out_channels"])
        if narrow == tuple(config["block_out_channels"]):
            return setup
        fits = (g for g in range(config["norm_num_groups"], 0, -1) if all(c % g == 0 and c >= 2 * g for c in narrow))
        changed = {"block_out_channels": narrow, "norm_num_groups": next(fits)}
        if (head := config["attention_head_dim"]) is not None and any(c % head for c in narrow if c < head):
            changed["attention_head_dim"] = math.gcd(head, *narrow)
        torch.manual_seed(derive_seed(setup.seed, "capacity"))
        setup.network = type(network).from_config({**config, **changed}).to(setup.device).train()
        return setup

    def relative_cost(self, steps: int, batch_size: int) -> float:
        return self.width
