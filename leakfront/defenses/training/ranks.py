"""One training step on several processes, its ranks: each takes its share of every batch through the network.

All ranks draw the same batches, timesteps and noise, see the network's output for the whole batch, and add up their
gradients before the optimizer's step (under DP-SGD the clipped ones, before the noise, which all draw alike), so all
stay at the same weights: those of one process, but for the order in which floating-point numbers are summed, and for
dropout, whose masks each rank draws for its share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from leakfront.defenses.contract import PerExampleLoss


def nobody(images: int) -> None:
    """Counts nothing."""


@dataclass(frozen=True)
class Ranks:
    """The processes that train a model together, `size` of them, of which this is number `rank`.

    elsewhere: is told how many images other ranks take through the network.
    """

    rank: int = 0
    size: int = 1
    elsewhere: Callable[[int], None] = nobody

    def device(self, device: str) -> str:
        """The device of this rank: the one of that number, if there are several."""
        return f"cuda:{self.rank}" if device == "cuda" and self.size > 1 else device

    def share(self, rows: int, unit: int = 1) -> slice:
        """Which of `rows` rows this rank takes, in whole images of `unit` rows; shares differ by at most one image."""
        images = rows // unit
        return slice(images * self.rank // self.size * unit, images * (self.rank + 1) // self.size * unit)

    def takes_none(self, rows: int, unit: int = 1) -> bool:
        """Whether there are so few images that this rank has none."""
        share = self.share(rows, unit)
        return bool(share.start == share.stop)

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier()

    def agree(self, decision: bool) -> bool:
        """What the first rank decided."""
        if self.size == 1:
            return decision
        from torch import distributed

        said = [decision]
        distributed.broadcast_object_list(said, src=0)
        return said[0]

    def over(self, loss: PerExampleLoss, unit: int = 1) -> PerExampleLoss:
        """`loss`, of a network that these ranks compute together; see `leakfront.defenses.training.sharded`."""
        if self.size == 1:
            return loss
        from leakfront.defenses.training.sharded import Sharded

        return lambda network, *batch: loss(Sharded(network, self, unit), *batch)

    def add_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """Make each tensor, in place, the sum of those of all ranks."""
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
        """The sum of what each rank counted."""
        if self.size == 1:
            return count
        import torch

        counted = torch.tensor([count], device=device)
        self.add_up([counted])
        return int(counted)


ALONE = Ranks()
