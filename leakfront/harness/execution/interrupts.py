"""Ctrl-C while a process starts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block, in this process and in those that it starts in the block.

    Ctrl-C reaches every process of a terminal. One that is still starting would print a traceback, and so would one
    whose parent stops before it has sent all that a start needs. A process that is started inherits the blocked signal.
    Here it is blocked in this thread alone, and any other thread may receive it, which interrupts the main thread; so
    the handler waits, too.
    """
    heard: list[int] = []
    in_main = threading.current_thread() is threading.main_thread()  # other threads are never interrupted
    handler = signal.signal(signal.SIGINT, lambda number, _: heard.append(number)) if in_main else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # one that was blocked is heard now
        if in_main:
            signal.signal(signal.SIGINT, handler or signal.SIG_DFL)  # None: it was set outside Python
        if heard:
            signal.raise_signal(signal.SIGINT)
