"""A run's folder may come from somebody else: nothing outside it is opened, written to or deleted."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from leakfront.errors import InputError


def check_no_links(root: Path) -> None:
    """Raise `InputError` if anything below a run's folder is a symbolic link, a pipe or a device; it names the first.

    The folder itself may be a link.
    """
    for path, mode in irregular(root):
        if stat.S_ISLNK(mode):
            raise InputError(
                f"{path} is a symbolic link, and a run's folder must not hold any, for what is done in it would reach "
                "files elsewhere; put there what it leads to, or remove the link"
            )
        raise InputError(f"{path} is neither a file nor a folder, and a run's folder holds nothing else; remove it")


def irregular(root: Path) -> Iterator[tuple[Path, int]]:
    """What is no file and no folder below `root`, with its mode, in the order of the paths. No link is followed."""
    waiting = [root]
    while waiting:
        path = waiting.pop()
        try:
            mode = path.stat(follow_symlinks=path == root).st_mode
            if stat.S_ISDIR(mode):
                waiting += sorted(path.iterdir(), reverse=True)
            elif not stat.S_ISREG(mode):
                yield path, mode
        except OSError:  # a run that is under way has removed it, or we cannot read it, so not later either
            continue


def without_links(path: str | Path, flags: int) -> int:
    """An opener for `open` that fails if the file itself is a symbolic link."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def remove(folder: Path, root: Path) -> None:
    """Remove a folder below `root`, a run's. Raises `InputError` if the path leads elsewhere, over links or '..'."""
    there, home = folder.resolve(), root.resolve()
    if there != home / folder.relative_to(root) or there == home:
        raise InputError(f"{folder} leads to {there}, out of the run's folder; nothing there is removed")
    shutil.rmtree(folder, ignore_errors=True)
