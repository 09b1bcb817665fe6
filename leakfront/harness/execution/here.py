"""Run tasks one after the other in this process, which may hold a model that no other can be sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from leakfront.harness.execution import process
from leakfront.harness.execution.process import Task
from leakfront.harness.execution.workers import Listener, Outcome


@dataclass(frozen=True)
class _Events:
    """Hands the events of tasks to a listener."""

    put: Listener


@dataclass
class Here:
    """Takes the place of `Workers`. Afterwards torch has as many threads as before.

    threads: of torch. listener: receives the events of the tasks. work: the function that is called with a task.
    """

    threads: int
    listener: Listener
    work: Callable[[Task], Any]
    _tasks: list[Task] = field(default_factory=list)
    _before: int = 0

    def __enter__(self) -> Here:
        import torch

        self._before = torch.get_num_threads()
        process.set_up(_Events(self.listener), self.threads)
        process.forget()  # files that an earlier run planned with may have changed
        return self

    def __exit__(self, *_: object) -> None:
        import torch

        torch.set_num_threads(self._before)

    def submit(self, task: Task) -> None:
        """Queue a task; `outcomes` runs it."""
        self._tasks.append(task)

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcome of each task when it has run, until none is left; more may be submitted in the meantime."""
        while self._tasks:
            task = self._tasks.pop(0)
            try:
                outcome = Outcome(task, self.work(task))
            except Exception as error:
                outcome = Outcome(task, error=error)
            yield outcome
