"""Which reports this installation drew: it signs them with its key.

Checksums alone show that a folder is whole, not who wrote it. Without a key (no state folder, or one that others can
read) no page counts as our own, and every report is drawn anew.
"""

from __future__ import annotations

from pathlib import Path

from leakfront.harness.store.artifacts import MANIFEST, read_manifest, write_atomically
from leakfront.harness.store.inside import irregular
from leakfront.harness.store.installation import is_marked, mark
from leakfront.harness.store.integrity import check_folder

SIGNATURE = "signature"
_USE = "report"


def sign(folder: Path) -> None:
    """Sign the report in a folder, which this process has just drawn."""
    if (signature := mark(_USE, (folder / MANIFEST).read_bytes())) is not None:
        write_atomically(folder / SIGNATURE, signature)


def is_own(folder: Path, key: str) -> bool:
    """Whether this installation drew the report in a folder under this content key, and no file of it has changed."""
    manifest = read_manifest(folder)
    if manifest is None or manifest["key"] != key or next(irregular(folder), None) is not None:
        return False
    try:
        signed, content = (folder / SIGNATURE).read_bytes(), (folder / MANIFEST).read_bytes()
    except OSError:
        return False
    return is_marked(_USE, content, signed) and not check_folder(folder)[1]
