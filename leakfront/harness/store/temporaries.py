"""Hidden files and folders that become a stage's when they are whole, and what is left of them by killed writers."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path

_HOST = re.sub(r"\W", "_", socket.gethostname())
WRITING_SECONDS = 3600.0  # a stage is computed first and then written, which takes seconds; an hour is safe


def temporary_beside(path: Path, suffix: str = ".tmp") -> Path:
    """A hidden name in the folder of `path` that no process of any machine takes too; `clear_temporaries` knows it."""
    return path.with_name(f".{path.name}.{_HOST}-{os.getpid()}-{secrets.token_hex(4)}{suffix}")


def clear_temporaries(root: Path) -> None:
    """Remove what killed writers left behind; put back what one had moved aside to make room for its successor.

    What another living process is writing is not removed.
    """
    for left in root.rglob(".*.old"):
        folder = left.with_name(left.name[1:].rsplit(".", 2)[0])
        if not folder.exists():
            with suppress(OSError):  # its writer lives, and was faster
                left.rename(folder)
    for left in [*root.rglob(".*.tmp"), *root.rglob(".*.old")]:
        if _is_being_written(left):
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _is_being_written(temporary: Path) -> bool:
    """Whether its writer may live: on this machine a look at the process tells, elsewhere the time it was begun."""
    host, _, rest = temporary.stem.rpartition(".")[2].partition("-")
    pid = rest.partition("-")[0]
    if not pid.isdigit():
        return False
    if host != _HOST:
        try:
            return time.time() - temporary.stat().st_mtime < WRITING_SECONDS
        except FileNotFoundError:
            return False
    # one of our own number is of an earlier process: this one writes nothing while it clears
    return int(pid) != os.getpid() and _lives(int(pid))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # dead, but not yet taken note of by its parent
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:  # another user's; or a system without /proc
        return True
