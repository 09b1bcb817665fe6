"""A network that several processes compute together, each for its share of the batch."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from leakfront.defenses.training.ranks import Ranks
from leakfront.seeds import derive_seed


class Sharded(nn.Module):
    """`network` as one that puts out tensors [B, ...] for a batch of B rows, of which this rank computes its share.

    A gradient flows into the share alone; those of all ranks add up to the gradient of the batch. Arguments whose first
    dimension is B are cut to the share, in whole images of `unit` rows.
    """

    def __init__(self, network: nn.Module, ranks: Ranks, unit: int) -> None:
        super().__init__()
        self._network, self._ranks, self._unit = network, ranks, unit

    def forward(self, images: torch.Tensor, *arguments: Any, **options: Any) -> tuple[torch.Tensor, ...]:
        rows, ranks = len(images), self._ranks
        # without a share, the first image tells what outputs look like
        alone = ranks.takes_none(rows, self._unit)
        share = slice(0, self._unit) if alone else ranks.share(rows, self._unit)

        def cut(value: Any) -> Any:
            return value[share] if isinstance(value, torch.Tensor) and value.ndim and len(value) == rows else value

        with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
            # dropout: other masks on each rank; what is drawn afterwards is the same on all
            torch.manual_seed(derive_seed(torch.initial_seed(), "rank", ranks.rank))
            with torch.set_grad_enabled(torch.is_grad_enabled() and not alone):
                outputs = self._network(cut(images), *map(cut, arguments), **{k: cut(v) for k, v in options.items()})
        ranks.elsewhere(rows - (share.stop - share.start))
        return tuple(self._gathered(output[:0] if alone else output, rows) for output in outputs)

    def _gathered(self, mine: torch.Tensor, rows: int) -> torch.Tensor:
        """The outputs of all ranks in the order of the batch; those of others are constants here."""
        shares = [Ranks(rank, self._ranks.size).share(rows, self._unit) for rank in range(self._ranks.size)]
        longest = max(share.stop - share.start for share in shares)
        padded = mine.new_zeros((longest, *mine.shape[1:]))
        padded[: len(mine)] = mine.detach()
        parts = [torch.empty_like(padded) for _ in shares]
        dist.all_gather(parts, padded)
        parts = [part[: share.stop - share.start] for part, share in zip(parts, shares, strict=True)]
        parts[self._ranks.rank] = mine
        return torch.cat(parts)
