"""Ctrl-C while a process starts interrupts when it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from leakfront.harness.execution.interrupts import interrupts_wait


@pytest.fixture(autouse=True)
def hears_interrupts() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def another_thread() -> Iterator[None]:
    """A thread that may receive the signal in place of the main one."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    yield
    end.set()
    thread.join()


def block(done: list[str]) -> None:
    with interrupts_wait():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        done.append("block")
    done.append("more")


@pytest.mark.usefixtures("another_thread")
def test_an_interrupt_waits_for_the_end_of_the_block_whichever_thread_receives_it() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        block(done)
    assert done == ["block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_nothing_is_raised_without_an_interrupt_and_an_error_passes() -> None:
    with interrupts_wait():
        pass
    with pytest.raises(ValueError, match="of the block"), interrupts_wait():
        raise ValueError("of the block")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_process_started_in_the_block_inherits_the_blocked_signal() -> None:
    asks = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    with interrupts_wait():
        inside = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True)
    outside = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True)
    assert (inside.stdout, outside.stdout) == ("True\n", "False\n")


def test_another_thread_than_the_main_one_may_start_processes() -> None:
    done: list[bool] = []

    def start() -> None:
        with interrupts_wait():
            done.append(True)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert done == [True]
