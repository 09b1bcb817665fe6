"""Processes of one machine that train a model together; see `defenses.training.ranks` for what each of them does.

Accelerate keeps its process group for the life of a process; a worker process trains many models, each with a group of
its own, so torch.distributed is used directly.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist

from leakfront.defenses.training.ranks import Ranks
from leakfront.harness.execution.process import start_worker

WAIT_SECONDS = 5.0  # for a process that died to be seen to have died


@contextmanager
def training_ranks(train: Callable[[Ranks], object], size: int, device: str, threads: int) -> Iterator[Ranks]:
    """The ranks that train a model: this process, and others that are started here, call `train`, and end here."""
    if size == 1:
        yield Ranks()
        return
    folder = Path(tempfile.mkdtemp(prefix="leakfront-ranks"))
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=_be_rank, args=(train, Ranks(rank, size), folder, device, threads))
        for rank in range(1, size)
    ]
    for process in others:
        process.start()
    try:
        _meet(Ranks(0, size), folder, device)
        yield Ranks(0, size)
        for process in others:
            process.join()
    except Exception:
        for process in others:
            process.join(WAIT_SECONDS)
            if (process.exitcode or 0) < 0:  # it was killed: this process dies of it, and the task is tried again
                shutil.rmtree(folder, ignore_errors=True)
                os._exit(1)
        raise
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


def _be_rank(
    train: Callable[[Ranks], object], ranks: Ranks, folder: Path, device: str, threads: int
) -> None:  # the life of a process that only helps to train
    start_worker(None, threads)
    _meet(ranks, folder, device)
    train(ranks)
    dist.destroy_process_group()
