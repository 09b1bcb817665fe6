"""Cells run in worker processes, each with its own threads; events come back through a queue."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

from leakfront.worker import Task, run_task, start_worker

Listener = Callable[[dict[str, Any]], None]


@dataclass
class Outcome:
    """How a task ended: its result, or what went wrong."""

    task: Task
    result: Any = None
    error: BaseException | None = None


@dataclass
class Workers:
    """A pool of worker processes; a crashed worker costs its tasks one retry."""

    count: int
    threads: int
    listener: Listener
    _pool: ProcessPoolExecutor | None = None
    _running: dict[Future[Any], tuple[Task, int]] = field(default_factory=dict)

    def __enter__(self) -> Workers:
        # the threads of OpenMP spin while they wait, which on busy cores costs far more than it saves
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ["OMP_NUM_THREADS"] = str(self.threads)
        # glibc: keep freed memory instead of handing every large tensor back to the kernel (a forward pass of a small
        # UNet took 31 ms without and 22 ms with it)
        os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(64 * 2**20))
        os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(256 * 2**20))
        context = multiprocessing.get_context("spawn")
        self._events = context.Queue()
        self._context = context
        self._reader = threading.Thread(target=self._read_events, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *details: object) -> None:
        if self._pool is not None:
            processes = list((self._pool._processes or {}).values())
            self._pool.shutdown(wait=False, cancel_futures=True)
            if details[0] is not None:
                for process in processes:
                    process.kill()
            for process in processes:
                process.join()
        self._events.put(None)
        self._reader.join()

    def submit(self, task: Task, attempt: int = 1) -> None:
        """Queue a task; `outcomes` yields it when it is done."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.count, self._context, initializer=start_worker, initargs=(self._events, self.threads)
            )
        self._running[self._pool.submit(run_task, task)] = (task, attempt)

    def outcomes(self) -> Iterator[Outcome]:
        """Tasks as they end, until none is left; more may be submitted meanwhile."""
        while self._running:
            done, _ = wait(self._running, return_when=FIRST_COMPLETED)
            crashed = [self._running.pop(f) for f in list(done) if isinstance(f.exception(), BrokenProcessPool)]
            finished = [(f, *self._running.pop(f)) for f in done if f in self._running]
            if crashed:
                # one process died and took the pool with it: start another for all that was under way
                crashed += list(self._running.values())
                self._running.clear()
                assert self._pool is not None
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._pool = None
            for future, task, _ in finished:
                error = future.exception()
                yield Outcome(task, None if error else future.result(), error)
            for task, attempt in crashed:
                if attempt > 1:
                    yield Outcome(task, error=RuntimeError("its worker process died twice"))
                else:
                    self.submit(task, attempt + 1)

    def _read_events(self) -> None:
        while (event := self._events.get()) is not None:
            self.listener(event)
