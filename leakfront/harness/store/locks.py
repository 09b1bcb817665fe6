"""Locks between processes and machines (flock). A lock ends with the process that holds it, however that ends."""

from __future__ import annotations

import errno
import os
import time

# what file systems answer that cannot lock: NFS without a lock service, Lustre without its option flock
CANNOT = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
POLL_SECONDS = 0.05


def try_lock(descriptor: int, path: os.PathLike[str]) -> bool:
    """Lock an open file; False if another process holds the lock. It ends when the file is closed.

    descriptor: open for writing, as NFS asks for. path: for the error. Raises `OSError`, with an error number in
    `CANNOT` if the file system cannot lock.
    """
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in CANNOT:
            raise
        what = f"the file system cannot lock files ({error.strerror})"
        raise OSError(error.errno, what, os.fspath(path)) from error
    return True


def wait_for_lock(descriptor: int, path: os.PathLike[str], seconds: float) -> None:
    """`try_lock` until it succeeds. Raises `TimeoutError` after some seconds."""
    until = time.monotonic() + seconds
    while not try_lock(descriptor, path):
        if time.monotonic() > until:
            raise TimeoutError(errno.ETIMEDOUT, f"another process holds its lock for {seconds:g} s", os.fspath(path))
        time.sleep(POLL_SECONDS)
