"""A smaller network, or adapters of another rank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt, Interval, Le

from leakfront.defenses import Defense, TrainingSetup, register
from leakfront.errors import InputError
from leakfront.seeds import derive_seed

if TYPE_CHECKING:
    from leakfront.models.contract import ModelFamily

WIDTH = 0.5


@register("capacity")
@dataclass(frozen=True)
class Capacity(Defense):
    """Train a network whose layers are `width` times as wide, rounded to multiples of 4.

    A network with fewer parameters can store fewer images: Gu et al. 2023 (arXiv 2310.02664, §4) find that a diffusion
    model memorizes its training set only up to a size that grows with its width. No guarantee. It costs quality and
    saves training time.

    The normalization gets fewer groups where a group would have fewer than two channels, since a group of one channel
    would remove the time embedding. Attention heads get narrower where a head would be wider than the layer. It works
    on diffusers' UNets. It builds a new network, so it comes first in a stack.

    Of a fine-tune by low-rank adapters (model.name = "lora"), `rank` is what decides how many numbers can be learned:
    the adapters get this rank instead of the model's own, above it or below. `width` has no effect then.
    """

    acts_on = "training"
    summary = "a narrower network, or low-rank adapters of another rank"

    width: Annotated[float, Gt(0), Le(1)] = WIDTH
    rank: Annotated[int, Interval(ge=1, le=1024)] | None = None  # None: of no adapters

    def validate(self) -> None:
        if self.rank is not None and self.width != WIDTH:
            raise InputError(f"capacity.width is {self.width}; it has no effect together with rank, so leave it out")

    def check_family(self, family: ModelFamily) -> None:
        if family.trained:
            self._require(family.adapters)

    def _require(self, adapted: bool) -> None:
        """Raise `InputError` if the level that is set is none of these models."""
        if adapted != (self.rank is not None):
            wrong, right = ("width", "rank") if adapted else ("rank", "width")
            kind = "adapters on a base" if adapted else "no adapters"
            raise InputError(
                f"capacity.{wrong} cannot change this model, which has {kind}; set capacity.{right} instead"
            )

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        import torch
        from diffusers import ConfigMixin

        from leakfront.models.adapters.layers import adapted_layers, change_rank

        self._require(bool(adapted_layers(setup.network)))
        if self.rank is not None:
            torch.manual_seed(derive_seed(setup.seed, "capacity"))
            change_rank(setup.network, self.rank)
            return setup
        network: Any = setup.network
        if not isinstance(network, ConfigMixin) or "block_out_channels" not in network.config:
            raise InputError("capacity needs a diffusers UNet; the width of this network cannot be changed")
        config = network.config
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
        return self.width if self.rank is None else 1.0
