"""Which reports this installation drew: it signs them with a key in the user's state folder.

Checksums alone show that a folder is whole, not who wrote it. Without a key (no state folder, or one that others can
read) no page counts as our own, and every report is drawn anew.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from pathlib import Path

from leakfront.harness.store.artifacts import MANIFEST, read_manifest, write_atomically
from leakfront.harness.store.inside import irregular, without_links
from leakfront.harness.store.integrity import check_folder
from leakfront.harness.store.private_file import write_private

SIGNATURE = "signature"
KEY = "report-key"
BYTES = 32


def sign(folder: Path) -> None:
    """Sign the report in a folder, which this process has just drawn."""
    if (key := _key()) is not None:
        write_atomically(folder / SIGNATURE, _signature(key, folder))


def is_own(folder: Path, key: str) -> bool:
    """Whether this installation drew the report in a folder under this content key, and no file of it has changed."""
    secret, manifest = _key(), read_manifest(folder)
    if secret is None or manifest is None or manifest["key"] != key or next(irregular(folder), None) is not None:
        return False
    try:
        signed = (folder / SIGNATURE).read_bytes()
    except OSError:
        return False
    return hmac.compare_digest(signed, _signature(secret, folder)) and not check_folder(folder)[1]


def _signature(key: bytes, folder: Path) -> bytes:
    """The HMAC-SHA256 of the report's manifest, which holds the checksums of its files, in hexadecimal."""
    return hmac.digest(key, b"leakfront report\n" + (folder / MANIFEST).read_bytes(), "sha256").hex().encode()


def _key() -> bytes | None:
    """The key of this user on this machine, made on first use; None if it cannot be kept or others can read it."""
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
