"""Attempts at a task on a cluster. Only the latest may put its artifacts in their place.

A node that is cut off is believed dead, and its task is given to another; it may go on, and write hours later. So each
attempt has a random token, a file in the run's folder holds that of the latest, and a writer compares them, under a
lock, at the moment when it replaces an artifact.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from leakfront.harness.store.inside import without_links
from leakfront.harness.store.locks import wait_for_lock

LOCK_SECONDS = 120.0  # it is held for moments; NFS gives up the locks of a dead machine after about 90 s


@dataclass(frozen=True)
class Attempt:
    """One attempt at a task. file: holds the token of the task's latest attempt. token: this one's."""

    file: Path
    token: str


class LateAttemptError(RuntimeError):
    """Another attempt has taken the place of this one, or the run has ended; what it made is not kept."""


_current: Attempt | None = None  # that of this process; None: nobody else can be at work on its task


def begin(file: Path) -> Attempt:
    """Begin an attempt. When this returns, no earlier attempt with the same file can replace an artifact."""
    attempt = Attempt(file, secrets.token_hex(16))
    with _locked(file, os.O_CREAT) as descriptor:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, attempt.token.encode(), 0)
    return attempt


@contextmanager
def working_on(attempt: Attempt) -> Iterator[None]:
    """In the block, this process works on an attempt."""
    global _current
    before, _current = _current, attempt
    try:
        yield
    finally:
        _current = before


@contextmanager
def if_latest() -> Iterator[None]:
    """Hold off other attempts for the block. Raises `LateAttemptError` if this process works on an earlier one."""
    if _current is None:
        yield
        return
    try:
        with _locked(_current.file) as descriptor:
            if os.pread(descriptor, 100, 0) != _current.token.encode():
                raise LateAttemptError("another attempt at this task was begun; what this one made is not kept")
            yield
    except FileNotFoundError:
        if _current.file.exists():
            raise  # it is about another file
        raise LateAttemptError("the run that this task belongs to has ended; what it made is not kept") from None


@contextmanager
def _locked(file: Path, flags: int = 0) -> Iterator[int]:
    """Open a file, and lock it for the block."""
    descriptor = without_links(file, os.O_RDWR | flags)
    try:
        wait_for_lock(descriptor, file, LOCK_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)
