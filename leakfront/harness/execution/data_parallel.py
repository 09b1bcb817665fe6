"""Several processes of one machine train one model together; `defenses.training.ranks` describes their shares.

torch.distributed is used directly: Accelerate keeps one process group for the life of a process, but a worker process
trains many models, each with its own group.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from leakfront.defenses.training.ranks import Ranks
from leakfront.harness.execution.process import emit, start_worker
from leakfront.harness.store.temporaries import temporary_beside

MEETING_SECONDS = 300.0  # in which all processes of a training must have started
POLL_SECONDS = 0.05
WAIT_SECONDS = 5.0  # for the exit code of a process that died


@contextmanager
def training_ranks(
    train: Callable[[Ranks], object], size: int, device: str, threads: int, near: Path
) -> Iterator[Ranks]:
    """Start the other ranks of a training, and yield the rank of this process.

    train: what the other processes call with their ranks; they end with the block. size: the number of ranks; with 1,
    no process is started. threads: of each process. near: a path in the run's folder; the ranks find each other through
    a temporary file beside it. If another rank is killed, this process says so and ends too, with exit code 1. Raises
    `RuntimeError` if one ends otherwise before all have met, or is not there after `MEETING_SECONDS`.
    """
    if size == 1:
        yield Ranks()
        return
    with temporary_beside(near) as meeting:
        context = multiprocessing.get_context("spawn")
        others = [
            context.Process(target=_run_rank, args=(train, Ranks(rank, size), meeting, device, threads))
            for rank in range(1, size)
        ]
        for process in others:
            process.start()
        try:
            _join_group(Ranks(0, size), meeting, device, others)
            yield Ranks(0, size)
            for process in others:
                process.join()
        except Exception:
            until = time.monotonic() + WAIT_SECONDS
            for rank, process in enumerate(others, 1):
                process.join(max(0.0, until - time.monotonic()))
                if (code := process.exitcode or 0) < 0:  # this process ends too, so that the task is tried again
                    name = signal.Signals(-code).name
                    emit({"message": f"  process {rank + 1} of {size} of a training was killed ({name})"})
                    meeting.unlink(missing_ok=True)
                    os._exit(1)
            raise
        finally:
            for process in others:
                process.kill()
                process.join()
            if dist.is_initialized():
                dist.destroy_process_group()


def _join_group(ranks: Ranks, meeting: Path, device: str, others: Sequence[Any] = ()) -> None:
    """Join the process group of all ranks, which find each other through a file. others: the processes to wait for."""
    if device == "cuda":
        torch.cuda.set_device(ranks.rank)
    store = dist.FileStore(str(meeting), ranks.size)  # type: ignore[attr-defined]  # documented, not re-exported
    store.set(_here(ranks.rank), "")
    _wait_for(others, store, ranks.size)
    backend = "nccl" if device == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=ranks.rank, world_size=ranks.size)


def _wait_for(others: Sequence[Any], store: Any, size: int) -> None:
    """Wait until the other processes are about to join: joining waits half an hour for one that has died.

    Raises `RuntimeError` if one ends before, or is not there after `MEETING_SECONDS`.
    """
    until = time.monotonic() + MEETING_SECONDS
    for rank, process in enumerate(others, 1):
        who = f"process {rank + 1} of {size} of a training"
        while not store.check([_here(rank)]):
            if (code := process.exitcode) is not None:
                raise RuntimeError(f"{who} ended with exit code {code} before it met the others")
            if time.monotonic() > until:
                raise RuntimeError(f"{who} did not meet the others within {MEETING_SECONDS:g} s")
            time.sleep(POLL_SECONDS)


def _here(rank: int) -> str:
    return f"here-{rank}"


def _run_rank(train: Callable[[Ranks], object], ranks: Ranks, meeting: Path, device: str, threads: int) -> None:
    """The main function of the other processes."""
    start_worker(None, threads)
    _join_group(ranks, meeting, device)
    train(ranks)
    dist.destroy_process_group()
