"""Worker processes that start at once: forked from a server that has the libraries, instead of importing them again."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

LOADED = ["leakfront.harness.execution.data_parallel", "leakfront.defenses.dp_sgd", "leakfront.harness.stages",
          "leakfront.harness.training.loop", "leakfront.harness.training.state", "leakfront.models.unet",
          "leakfront.defenses.training.book_keeping.private_optimizer", "diffusers.models.unets.unet_2d"]  # fmt: skip


@contextmanager
def quick_starts() -> Iterator[None]:
    """In the block, what would be spawned is forked from the server, which starts with the first such process.

    As in a spawned process, all that it works with is pickled, it has the environment variables of the process that
    starts it, and it dies alone.
    """
    known = multiprocessing.get_context
    server = _Server(known("forkserver"))
    server.set_forkserver_preload(LOADED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            multiprocessing, "get_context", lambda method=None: server if method == "spawn" else known(method)
        )
        yield


class _Server:
    """A context of multiprocessing whose processes have the environment variables of this one, not of the server."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def Process(self, target: Callable[..., object], args: tuple[Any, ...] = (), **more: Any) -> Any:
        return self._context.Process(target=_run, args=(dict(os.environ), target, *args), **more)


def _run(environment: dict[str, str], target: Callable[..., object], *arguments: Any) -> None:
    os.environ.clear()
    os.environ.update(environment)
    target(*arguments)
