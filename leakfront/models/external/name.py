"""A readable name of the model in a folder."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from pathlib import Path

from leakfront.models.external.places import CHECKPOINT, PARTS

LONGEST = 120  # bytes of a name; the longest that file systems take is 255
_DIGITS = 6  # of a checksum, where a name had to be changed


def model_name(folder: Path) -> str:
    """The folder's name, with its parent's where that alone says little (unet, checkpoint-500).

    A snapshot of the hub's cache has its repository's name: models--ORG--NAME gives "ORG-NAME". The name consists of
    letters and digits of any script, dots, dashes and underscores. If other characters than spaces had to be replaced,
    or the name was cut, a part of its checksum follows, so that different names stay different.
    """
    parts = [part for part in Path(os.path.normpath(folder.absolute())).parts if part != os.sep]
    start = max(len(parts) - 1, 0)
    while start > 0 and _says_little(parts[start]):
        start -= 1
    names = parts[start:]
    if start >= 2 and parts[start - 1] == "snapshots":
        names[0] = parts[start - 2]
    if names and names[0].startswith("models--"):
        names[0] = names[0].removeprefix("models--").replace("--", "-")
    return _plain(unicodedata.normalize("NFC", "-".join(names)))


def _says_little(name: str) -> bool:
    return name in (*PARTS, "model") or CHECKPOINT.fullmatch(name) is not None


def _plain(name: str) -> str:
    replaced = re.sub(r"[^\w.-]+", "_", name)
    kept = re.sub(r"^[\W_]+|[\W_]+$", "", replaced)
    kept = kept.encode("utf-8", "replace")[:LONGEST].decode("utf-8", "ignore")
    if kept == re.sub(r" +", "_", name):
        return kept
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    return f"{kept}-{digest}" if kept else f"model-{digest}"
