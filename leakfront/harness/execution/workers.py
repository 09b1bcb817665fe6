"""Run tasks in worker processes, each with its own threads and GPUs; events arrive as they happen.

`concurrent.futures.ProcessPoolExecutor` does not fit: when one of its processes dies, it gives up the tasks of all.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from leakfront.harness.execution.interrupts import interrupts_wait
from leakfront.harness.execution.process import Task, environment, start_worker

Listener = Callable[[dict[str, Any]], None]


@dataclass
class Outcome:
    """How a task ended: its result or its error."""

    task: Task
    result: Any = None
    error: BaseException | None = None


class WorkerTraceback(Exception):
    """The cause of an error from a worker process: the traceback there, as text."""


@dataclass(eq=False)
class _Worker:
    """A process with its current task. slot: its number, which decides its GPUs. attempt: 1, or 2 for a retry."""

    slot: int
    process: Any
    connection: Connection
    task: Task
    attempt: int


@dataclass
class Workers:
    """A pool of worker processes. If one dies, its task is tried once more; other tasks are not affected.

    count: the number of processes. threads: of each process. listener: receives the events of the tasks. work: the
    function that a worker calls with a task. gpus: those of each worker (see `devices.gpu_shares`); empty: all.
    """

    count: int
    threads: int
    listener: Listener
    work: Callable[[Task], Any]
    gpus: Sequence[Sequence[int]] = ()
    _queue: deque[tuple[Task, int]] = field(default_factory=deque)
    _busy: list[_Worker] = field(default_factory=list)
    _idle: list[_Worker] = field(default_factory=list)

    def __enter__(self) -> Workers:
        os.environ.update(environment(self.threads))
        return self

    def __exit__(self, *details: object) -> None:
        workers = self._busy + self._idle
        for worker in workers:
            worker.connection.close()  # an idle worker ends when its connection closes
            if details[0] is not None:
                worker.process.kill()
        for worker in workers:
            worker.process.join()

    def submit(self, task: Task) -> None:
        """Queue a task; `outcomes` starts it and yields its outcome."""
        self._queue.append((task, 1))

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcome of each task as it ends, until none is left; more may be submitted in the meantime."""
        while self._queue or self._busy:
            self._start_tasks()
            ready = wait([worker.connection for worker in self._busy])
            for worker in [worker for worker in self._busy if worker.connection in ready]:
                if outcome := self._receive(worker):
                    yield outcome

    def _start_tasks(self) -> None:
        while self._queue and len(self._busy) < self.count:
            task, attempt = self._queue.popleft()
            worker = self._idle_worker() or self._new_worker(task)
            worker.task, worker.attempt = task, attempt
            self._busy.append(worker)
            with suppress(OSError):  # it has just died, which `_receive` will notice
                worker.connection.send(task)

    def _idle_worker(self) -> _Worker | None:
        """An idle worker that is alive, or None; dead ones are dropped."""
        while self._idle:
            worker = self._idle.pop()
            if worker.process.is_alive():
                return worker
            worker.connection.close()
        return None

    def _new_worker(self, task: Task) -> _Worker:
        slot = min(set(range(self.count)) - {worker.slot for worker in self._busy + self._idle})
        here, there = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        gpus = self.gpus[slot % len(self.gpus)] if self.gpus else ()
        process = context.Process(target=_worker_main, args=(there, self.work, self.threads, gpus))
        with interrupts_wait():
            process.start()
        there.close()
        return _Worker(slot, process, here, task, 1)

    def _receive(self, worker: _Worker) -> Outcome | None:
        """Handle one message of a worker, or its death."""
        try:
            event, ended = worker.connection.recv()
        except (EOFError, OSError):
            return self._retry(worker)
        if ended is None:
            self.listener(event)
            return None
        self._busy.remove(worker)
        self._idle.append(worker)
        result, error, text = ended
        if error is not None:
            error.__cause__ = WorkerTraceback(text)
        return Outcome(worker.task, result, error)

    def _retry(self, worker: _Worker) -> Outcome | None:
        """Queue the task of a dead worker once more, or give it up after the second death."""
        self._busy.remove(worker)
        worker.connection.close()
        worker.process.join()
        code = worker.process.exitcode
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if worker.attempt > 1:
            return Outcome(worker.task, error=RuntimeError(f"its worker process died twice (the last time by {how})"))
        self.listener({"message": f"  the worker process of {worker.task} died ({how}); it is tried once more"})
        self._queue.appendleft((worker.task, 2))
        return None


@dataclass(frozen=True)
class _Events:
    """Sends the events of a worker to the parent's listener."""

    connection: Connection

    def put(self, event: dict[str, Any]) -> None:
        self.connection.send((event, None))


def _worker_main(connection: Connection, work: Callable[[Task], Any], threads: int, gpus: Sequence[int]) -> None:
    """The main loop of a worker: receives tasks, and sends (None, (result, error, traceback)) for each."""
    start_worker(_Events(connection), threads, gpus)
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):
            return
        ended: tuple[Any, BaseException | None, str]
        try:
            ended = work(task), None, ""
        except BaseException as error:
            ended = None, _portable(error), traceback.format_exc()
        try:
            connection.send((None, ended))
        except OSError:  # the parent has ended or closed the connection
            return


def _portable(error: BaseException) -> BaseException:
    """The error, or a `RuntimeError` with the same text if it cannot be sent to another process."""
    try:
        return error if type(pickle.loads(pickle.dumps(error))) is type(error) else RuntimeError(repr(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
