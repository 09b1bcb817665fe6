"""A smaller network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from defenses import Defense, register
from leakfront.errors import InputError

if TYPE_CHECKING:
    from defenses import TrainingSetup


@register("capacity")
@dataclass(frozen=True)
class Capacity(Defense):
    """Train a network whose layers are `width` times as wide, rounded to the groups of its normalization.

    A network with fewer parameters can store fewer images: Gu et al. 2023 (arXiv 2310.02664, §4) find that a diffusion
    model memorizes its training set only up to a size that grows with its width. No guarantee; the cost is quality, the
    gain beside privacy is time. It works on diffusers' UNets, before anything else has changed their weights.
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
        groups = config["norm_num_groups"]
        narrow = tuple(max(groups, round(self.width * c / groups) * groups) for c in config["block_out_channels"])
        torch.manual_seed(derive_seed(setup.seed, "capacity"))
        setup.network = type(network).from_config({**config, "block_out_channels": narrow}).to(setup.device).train()
        return setup

    def relative_cost(self, steps: int, batch_size: int) -> float:
        return self.width
