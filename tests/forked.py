"""Worker processes that start at once: forked from a server that has the libraries, instead of importing them again."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

LOADED = ["leakfront.harness.execution.data_parallel", "leakfront.defenses.dp_sgd", "leakfront.harness.stages",
          "leakfront.harness.training.loop", "leakfront.harness.training.state", "leakfront.models.unet",
          "leakfront.defenses.training.book_keeping.private_optimizer", "diffusers.models.unets.unet_2d"]  # fmt: skip


@contextmanager
def quick_starts() -> Iterator[None]:
    """In the block, what would be spawned is forked from the server, which starts with the first such process.

    As in a spawned process, all that it works with is pickled, and it dies alone. Its environment variables are those
    of the server's start.
    """
    known = multiprocessing.get_context
    server = known("forkserver")
    server.set_forkserver_preload(LOADED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            multiprocessing, "get_context", lambda method=None: server if method == "spawn" else known(method)
        )
        yield
