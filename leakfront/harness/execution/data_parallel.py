"""Several processes of one machine train one model together; `defenses.training.ranks` describes their shares.

torch.distributed is used directly: Accelerate keeps one process group for the life of a process, but a worker process
trains many models, each with its own group.
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

WAIT_SECONDS = 5.0  # for the exit code of a process that died


@contextmanager
def training_ranks(train: Callable[[Ranks], object], size: int, device: str, threads: int) -> Iterator[Ranks]:
    """Start the other ranks of a training, and yield the rank of this process.

    train: what the other processes call with their ranks; they end with the block. size: the number of ranks; with 1,
    no process is started. threads: of each process. If another rank is killed, this process ends too, with exit code 1.
    """
    if size == 1:
        yield Ranks()
        return
    folder = Path(tempfile.mkdtemp(prefix="leakfront-ranks"))
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=_run_rank, args=(train, Ranks(rank, size), folder, device, threads))
        for rank in range(1, size)
    ]
    for process in others:
        process.start()
    try:
        _join_group(Ranks(0, size), folder, device)
        yield Ranks(0, size)
        for process in others:
            process.join()
    except Exception:
        for process in others:
            process.join(WAIT_SECONDS)
            if (process.exitcode or 0) < 0:  # it was killed: this process ends too, so that the task is tried again
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


def _join_group(ranks: Ranks, folder: Path, device: str) -> None:
    """Join the process group of all ranks, which find each other through a file."""
    if device == "cuda":
        torch.cuda.set_device(ranks.rank)
    backend = "nccl" if device == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{folder}/meeting", rank=ranks.rank, world_size=ranks.size)


def _run_rank(train: Callable[[Ranks], object], ranks: Ranks, folder: Path, device: str, threads: int) -> None:
    """The main function of the other processes."""
    start_worker(None, threads)
    _join_group(ranks, folder, device)
    train(ranks)
    dist.destroy_process_group()
