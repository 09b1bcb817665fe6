"""Hidden temporary files and folders, renamed when they are complete, and the leftovers of killed writers.

Every writer holds a lock beside its temporary: `.NAME.WRITER.lock` beside `.NAME.WRITER.tmp`. Whether a writer is alive
is decided by this lock alone. Process numbers, host names and clocks do not tell: containers share the first two, and
machines disagree on the time.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from leakfront.harness.store.inside import without_links
from leakfront.harness.store.locks import try_lock

# WRITER is random. Earlier versions, which had no lock, wrote HOST-PROCESS-RANDOM there
_PATTERN = re.compile(
    r"\.(?P<of>[A-Za-z0-9][A-Za-z0-9.+=_-]*)\.(?P<writer>[0-9a-f]{16}|(\w+-)?[0-9]{1,9}(-[0-9a-f]{8})?)"
    r"(?P<number>-[0-9]{1,4})?\.(?P<end>tmp|old|lock)"
)


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A hidden path next to `path` that no other call on any machine uses; put a file or folder there and rename it.

    What is still there after the block is removed. The parent must exist.
    """
    lock, descriptor = _locked_beside(path)
    place = lock.with_suffix(".tmp")
    try:
        yield place
    finally:
        try:
            _remove(place)
            lock.unlink(missing_ok=True)  # the last, and before the lock ends: a writer without one has ended
        finally:
            os.close(descriptor)


def aside(temporary: Path, number: int) -> Path:
    """Where the writer of a temporary moves what it replaces; `clear_temporaries` moves it back if need be."""
    return temporary.with_name(f"{temporary.stem}-{number}.old")


def clear_temporaries(root: Path) -> None:
    """Remove the leftovers of killed writers, and restore a folder that one had moved aside but not yet replaced.

    Only what has a name that this module gives is touched, and no link is followed. Nothing of a living writer is
    touched. What cannot be removed is left for the next time.
    """
    for lock, left in _leftovers(root).items():
        with suppress(OSError), _ended(lock) as has_ended:
            if not has_ended:
                continue
            for path, name in left:
                folder = path.with_name(name["of"])
                if name["end"] == "old" and not folder.exists():
                    path.rename(folder)
                elif name["end"] != "lock":
                    _remove(path)
            lock.unlink(missing_ok=True)


def _locked_beside(path: Path) -> tuple[Path, int]:
    """A new lock file for a temporary beside `path`, and its descriptor, which holds the lock."""
    while True:
        lock = path.with_name(f".{path.name}.{secrets.token_hex(8)}.lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            if try_lock(descriptor, lock) and _is_at(lock, descriptor):
                return lock, descriptor
        except OSError:
            lock.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        os.close(descriptor)  # `clear_temporaries` of another process found it before it was locked


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file is still the one at `path`."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def _ended(lock: Path) -> Iterator[bool]:
    """Whether the writer with this lock has ended; if it has, the lock is held for the block."""
    try:
        descriptor = without_links(lock, os.O_RDWR)
    except FileNotFoundError:  # it is made before the temporary, and removed after it
        yield True
        return
    try:
        yield try_lock(descriptor, lock)
    finally:
        os.close(descriptor)


def _leftovers(root: Path) -> dict[Path, list[tuple[Path, re.Match[str]]]]:
    """The temporary files and folders below `root`, each with the parts of its name, by the lock of their writer."""
    found: dict[Path, list[tuple[Path, re.Match[str]]]] = {}
    for place, folders, files in os.walk(root):
        for entry in sorted((*folders, *files)):
            if parts := _PATTERN.fullmatch(entry):
                lock = Path(place, f".{parts['of']}.{parts['writer']}.lock")
                found.setdefault(lock, []).append((Path(place, entry), parts))
    return found


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
