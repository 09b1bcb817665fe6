"""The key of this installation: of this user on this machine, in the user's state folder.

It tells what was made here from what came from elsewhere, which checksums cannot.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from pathlib import Path

from leakfront.harness.store.inside import without_links
from leakfront.harness.store.private_file import write_private

KEY = "report-key"  # its first use
BYTES = 32


def mark(use: str, content: bytes) -> bytes | None:
    """The HMAC-SHA256 of a content under this installation's key, in hexadecimal; None without a key.

    use: what the mark is for; a mark of one use does not fit another. The key is made on first use. There is none if it
    cannot be kept, or if others can read it.
    """
    key = _key()
    return None if key is None else hmac.digest(key, f"leakfront {use}\n".encode() + content, "sha256").hex().encode()


def is_marked(use: str, content: bytes, found: bytes) -> bool:
    """Whether this installation made the mark `found` for this content."""
    right = mark(use, content)
    return right is not None and hmac.compare_digest(right, found)


def _key() -> bytes | None:
    try:
        path = _state_folder() / KEY
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_private(path, secrets.token_bytes(BYTES))
        with os.fdopen(without_links(path, os.O_RDONLY), "rb") as file:
            found, key = os.fstat(file.fileno()), file.read(BYTES + 1)
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return None
    private = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return key if private and len(key) == BYTES else None


def _state_folder() -> Path:
    """$XDG_STATE_HOME/leakfront, by default ~/.local/state/leakfront."""
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".local" / "state") / "leakfront"
