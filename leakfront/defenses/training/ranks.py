"""The processes ("ranks") that share one training step: each passes its share of every batch through the network.

All ranks draw the same batches, timesteps and noise, and see the network's output for the whole batch. They sum their
gradients before the optimizer's step. Under DP-SGD they sum the clipped gradients before the noise is added, and all
draw equal noise. So all ranks keep equal weights. These are the weights of one process, except for the order in which
floating-point numbers are summed, and for dropout, where each rank draws the masks for its own share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def nobody(images: int) -> None:
    """Counts nothing."""


@dataclass(frozen=True)
class Ranks:
    """The processes that train a model together, `size` of them, of which this is number `rank`.

    elsewhere: called with the number of images that other ranks pass through the network.
    """

    rank: int = 0
    size: int = 1
    elsewhere: Callable[[int], None] = nobody

    def device(self, device: str) -> str:
        """The device of this rank: with several ranks on "cuda", the GPU with the rank's number."""
        return f"cuda:{self.rank}" if device == "cuda" and self.size > 1 else device

    def share(self, rows: int, unit: int = 1) -> slice:
        """The part of `rows` rows that this rank computes, in whole images of `unit` rows.

        The shares of two ranks differ by at most one image.
        """
        images = rows // unit
        return slice(images * self.rank // self.size * unit, images * (self.rank + 1) // self.size * unit)

    def is_idle(self, rows: int, unit: int = 1) -> bool:
        """Whether there are so few images that this rank's share is empty."""
        share = self.share(rows, unit)
        return bool(share.start == share.stop)

    def wait(self) -> None:
        """Wait until all ranks have made this call."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier()

    def broadcast(self, decision: bool) -> bool:
        """The decision of the first rank, on all ranks."""
        if self.size == 1:
            return decision
        from torch import distributed

        decisions = [decision]
        distributed.broadcast_object_list(decisions, src=0)
        return decisions[0]

    def all_reduce(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each tensor, in place, by its sum over all ranks."""
        if self.size == 1:
            return
        import torch
        from torch import distributed

        together = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(together)
        parts = torch.split(together, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def total(self, count: int, device: str = "cpu") -> int:
        """The sum of the ranks' counts."""
        if self.size == 1:
            return count
        import torch

        counted = torch.tensor([count], device=device)
        self.all_reduce([counted])
        return int(counted)


ALONE = Ranks()
