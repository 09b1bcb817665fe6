"""A network that several processes compute together, each for its share of the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from leakfront.defenses.training.ranks import Ranks
from leakfront.models.contract import PerExampleLoss
from leakfront.seeds import derive_seed


def shared(loss: PerExampleLoss, ranks: Ranks, unit: int = 1) -> PerExampleLoss:
    """`loss` with the network computed by all `ranks` together, in whole images of `unit` rows; see `Sharded`."""
    if ranks.size == 1:
        return loss
    return lambda network, *batch: loss(Sharded(network, ranks, unit), *batch)


class Sharded(nn.Module):
    """Wraps `network` so that each rank computes its share of the batch and all ranks get the whole output.

    `network` returns tensors [B, ...] for a batch of B rows. Tensor arguments whose first dimension is B are cut to the
    share, in whole images of `unit` rows. On each rank the gradient flows through its own share only; the sum over the
    ranks is the gradient of the batch.
    """

    def __init__(self, network: nn.Module, ranks: Ranks, unit: int) -> None:
        super().__init__()
        self._network, self._ranks, self._unit = network, ranks, unit

    def forward(self, images: torch.Tensor, *arguments: Any, **options: Any) -> tuple[torch.Tensor, ...]:
        outputs, share = self._of_all(self._network, images, *arguments, **options)
        self._ranks.elsewhere(len(images) - (share.stop - share.start))
        return outputs

    def embed(self, condition: torch.Tensor) -> torch.Tensor:
        """The embeddings of conditions, which the network has a method for, of all ranks."""
        network: Any = self._network
        ((embedding,), _) = self._of_all(lambda rows: (network.embed(rows),), condition)
        return embedding

    def _of_all(
        self, network: Callable[..., Any], images: torch.Tensor, *arguments: Any, **options: Any
    ) -> tuple[tuple[torch.Tensor, ...], slice]:
        """The outputs of all ranks, and the rows of this one's share."""
        rows, ranks = len(images), self._ranks
        # an idle rank passes the first image through the network to learn the shapes of the outputs
        idle = ranks.is_idle(rows, self._unit)
        share = slice(0, self._unit) if idle else ranks.share(rows, self._unit)

        def cut(value: Any) -> Any:
            return value[share] if isinstance(value, torch.Tensor) and value.ndim and len(value) == rows else value

        with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
            # dropout masks differ between ranks; draws after this block are equal on all ranks
            torch.manual_seed(derive_seed(torch.initial_seed(), "rank", ranks.rank))
            with torch.set_grad_enabled(torch.is_grad_enabled() and not idle):
                outputs = network(cut(images), *map(cut, arguments), **{k: cut(v) for k, v in options.items()})
        return tuple(self._gathered(output[:0] if idle else output, rows) for output in outputs), share

    def _gathered(self, own: torch.Tensor, rows: int) -> torch.Tensor:
        """The outputs of all ranks in the order of the batch; those of other ranks are constants here."""
        shares = [Ranks(rank, self._ranks.size).share(rows, self._unit) for rank in range(self._ranks.size)]
        longest = max(share.stop - share.start for share in shares)
        padded = own.new_zeros((longest, *own.shape[1:]))
        padded[: len(own)] = own.detach()
        parts = [torch.empty_like(padded) for _ in shares]
        dist.all_gather(parts, padded)
        parts = [part[: share.stop - share.start] for part, share in zip(parts, shares, strict=True)]
        parts[self._ranks.rank] = own
        return torch.cat(parts)
