"""Hidden temporary files and folders, renamed when they are complete, and the leftovers of killed writers."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path

_PATTERN = re.compile(
    r"\.(?P<of>[A-Za-z0-9][A-Za-z0-9.+=_-]*)\.((?P<host>\w+)-)?(?P<pid>[0-9]{1,9})(-[0-9a-f]{8})?\.(?P<end>tmp|old)"
)
_HOST = re.sub(r"\W", "_", socket.gethostname())
WRITING_SECONDS = 3600.0  # stages are computed before they are written, which takes seconds; an hour is safe


def temporary_beside(path: Path, suffix: str = ".tmp") -> Path:
    """A hidden path next to `path`, unique to this call on all machines; `clear_temporaries` recognizes it."""
    return path.with_name(f".{path.name}.{_HOST}-{os.getpid()}-{secrets.token_hex(4)}{suffix}")


def clear_temporaries(root: Path) -> None:
    """Remove the leftovers of killed writers, and restore a folder that one had moved aside but not yet replaced.

    Only what has a name that `temporary_beside` gives is touched, and no link is followed. Files that another living
    process is writing are not removed.
    """
    for left, name in _leftovers(root):
        folder = left.with_name(name["of"])
        if name["end"] == "old" and not folder.exists():
            with suppress(OSError):  # its writer is alive, and was faster
                left.rename(folder)
    for left, name in _leftovers(root):
        if _is_being_written(left, name):
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _leftovers(root: Path) -> list[tuple[Path, re.Match[str]]]:
    """The temporary files and folders below `root`, each with the parts of its name."""
    found = [(Path(place), name) for place, folders, files in os.walk(root) for name in (*folders, *files)]
    return [(place / name, parts) for place, name in found if (parts := _PATTERN.fullmatch(name))]


def _is_being_written(temporary: Path, name: re.Match[str]) -> bool:
    """Whether its writer may be alive: on this machine judged by the process, on another by the age of the file."""
    host, pid = name["host"], name["pid"]
    if host is None:
        return False
    if host != _HOST:
        try:
            return time.time() - temporary.stat().st_mtime < WRITING_SECONDS
        except FileNotFoundError:
            return False
    # our own process number means an earlier process: this one writes nothing while it clears
    return int(pid) != os.getpid() and _is_alive(int(pid))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # Z: the process is dead, but its parent has not collected it yet
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:  # a process of another user, or a system without /proc
        return True
