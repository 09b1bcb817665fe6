"""Writes that a loss of power cannot undo: what is new is on the disk before what it replaces is removed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

# what file systems answer that cannot sync a folder
_NO_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's entries, are on the disk.

    A file system that cannot sync folders is left to its own order. Raises `OSError`, for example for a full disk.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDERS or not path.is_dir():
            raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """`sync` all that is in a folder, and its own entries last."""
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            sync(Path(place, name))
        sync(Path(place))


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing; they are on the disk when this returns."""
    if not folder.exists():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)
