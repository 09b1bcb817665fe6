"""One training on several processes of a machine: each takes its share of every batch through the network.

All ranks draw the same batches, timesteps and noise, see the network's output for the whole batch, and add up their
gradients before the optimizer's step, so all stay at the same weights: those of one process, but for the order in which
floating-point numbers are summed, and for dropout, whose masks each rank draws for its share. (Accelerate keeps its
process group for the life of a process; a worker process trains many models, so torch.distributed is used directly.)
"""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import nn

from defenses.contract import PerExampleLoss
from leakfront.seeds import derive_seed

if TYPE_CHECKING:
    from leakfront.worker import Task


@dataclass(frozen=True)
class Ranks:
    """The processes that train a model together, `size` of them, of which this is number `rank`."""

    rank: int = 0
    size: int = 1

    def device(self, device: str) -> str:
        """The device of this rank: the one of that number, if there are several."""
        return f"cuda:{self.rank}" if device == "cuda" and self.size > 1 else device

    def share(self, count: int) -> slice:
        """Which of `count` images this rank takes; the shares differ by at most one image."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.size > 1:
            dist.barrier()

    def agree(self, decision: bool) -> bool:
        """What the first rank decided."""
        if self.size == 1:
            return decision
        said = [decision]
        dist.broadcast_object_list(said, src=0)
        return said[0]

    def over(self, loss: PerExampleLoss, elsewhere: Callable[[int], None]) -> PerExampleLoss:
        """`loss`, of a network that these ranks compute together; see `Sharded`."""
        if self.size == 1:
            return loss
        return lambda network, *batch: loss(Sharded(network, self, elsewhere), *batch)


class Sharded(nn.Module):
    """`network` as one that puts out tensors [B, ...] for a batch of B, of which this rank computes its share.

    A gradient flows into the share alone; those of all ranks add up to the gradient of the batch. Arguments whose first
    dimension is B are cut to the share. elsewhere: is told how many images other ranks take through the network.
    """

    def __init__(self, network: nn.Module, ranks: Ranks, elsewhere: Callable[[int], None]) -> None:
        super().__init__()
        self._network, self._ranks, self._elsewhere = network, ranks, elsewhere

    def forward(self, images: torch.Tensor, *arguments: Any, **options: Any) -> tuple[torch.Tensor, ...]:
        count = len(images)
        share = self._ranks.share(count)

        def cut(value: Any) -> Any:
            return value[share] if isinstance(value, torch.Tensor) and value.ndim and len(value) == count else value

        with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
            # dropout: other masks on each rank; what is drawn afterwards is the same on all
            torch.manual_seed(derive_seed(torch.initial_seed(), "rank", self._ranks.rank))
            outputs = self._network(cut(images), *map(cut, arguments), **{k: cut(v) for k, v in options.items()})
        self._elsewhere(count - (share.stop - share.start))
        return tuple(self._gathered(output, count) for output in outputs)

    def _gathered(self, mine: torch.Tensor, count: int) -> torch.Tensor:
        """The outputs of all ranks in the order of the batch; those of others are constants here."""
        shares = [Ranks(rank, self._ranks.size).share(count) for rank in range(self._ranks.size)]
        longest = max(share.stop - share.start for share in shares)
        padded = mine.new_zeros((longest, *mine.shape[1:]))
        padded[: len(mine)] = mine.detach()
        parts = [torch.empty_like(padded) for _ in shares]
        dist.all_gather(parts, padded)
        parts = [part[: share.stop - share.start] for part, share in zip(parts, shares, strict=True)]
        parts[self._ranks.rank] = mine
        return torch.cat(parts)


def add_up_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Make each step of the optimizer begin with the sum of all ranks' gradients."""

    def before_step(optimizer: torch.optim.Optimizer, arguments: Any, options: Any) -> None:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(together)
        parts = torch.split(together, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    optimizer.register_step_pre_hook(before_step)


@contextmanager
def training_ranks(task: Task, size: int, device: str, threads: int) -> Iterator[Ranks]:
    """The ranks that train the model of `task`: this process, and others that are started here and end here."""
    if size == 1:
        yield Ranks()
        return
    folder = Path(tempfile.mkdtemp(prefix="leakfront-ranks"))
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=_be_rank, args=(task, Ranks(rank, size), folder, device, threads))
        for rank in range(1, size)
    ]
    for process in others:
        process.start()
    try:
        _meet(Ranks(0, size), folder, device)
        yield Ranks(0, size)
        for process in others:
            process.join()
    finally:
        for process in others:
            process.kill()
            process.join()
        if dist.is_initialized():
            dist.destroy_process_group()
        shutil.rmtree(folder, ignore_errors=True)


def _meet(ranks: Ranks, folder: Path, device: str) -> None:
    """Join the group of all ranks, which find each other by a file."""
    if device == "cuda":
        torch.cuda.set_device(ranks.rank)
    backend = "nccl" if device == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{folder}/meeting", rank=ranks.rank, world_size=ranks.size)


def _be_rank(task: Task, ranks: Ranks, folder: Path, device: str, threads: int) -> None:
    """The life of a process that only helps to train."""
    from leakfront.layout import Layout
    from leakfront.stages.pool import stored_pool
    from leakfront.stages.train import train_cell
    from leakfront.worker import plan_of, start_worker

    start_worker(None, threads)
    _meet(ranks, folder, device)
    plan, layout = plan_of(task.settings), Layout(task.root)
    train_cell(plan, plan.by_name[task.cell], layout, stored_pool(layout), lambda *_: None, ranks)
    dist.destroy_process_group()
