"""Artifacts on disk: one folder for each stage, written whole or not at all, with a content key and checksums."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypedDict

from leakfront.harness.store.temporaries import temporary_beside

MANIFEST = "manifest.json"


class Recorded(TypedDict):
    """What a manifest says of a file."""

    sha256: str
    bytes: int


class Manifest(TypedDict):
    """The key of an artifact, and its files by their paths in it."""

    key: str
    files: dict[str, Recorded]


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file in one step: a reader sees the old content or the new one, a kill leaves no half."""
    temporary = temporary_beside(path)
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_manifest(folder: Path, key: str, names: Iterable[str]) -> None:
    """Record these files of a folder with their checksums."""
    files = {n: Recorded(sha256=checksum(folder / n), bytes=(folder / n).stat().st_size) for n in sorted(names)}
    write_atomically(folder / MANIFEST, _as_text(Manifest(key=key, files=files)))


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder; None if there is none, or a byte of it is not as it was written."""
    try:
        text = (folder / MANIFEST).read_bytes().decode()
        found = json.loads(text)
        recorded = {n: Recorded(sha256=str(f["sha256"]), bytes=int(f["bytes"])) for n, f in found["files"].items()}
        manifest = Manifest(key=str(found["key"]), files=recorded)
        return manifest if text == _as_text(manifest) else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _as_text(manifest: Manifest) -> str:
    """What a manifest's file holds: the manifest, and the checksum of that."""
    own = hashlib.sha256(json.dumps(manifest).encode()).hexdigest()
    return json.dumps({**manifest, "sha256": own}, indent=1)


def stored_key(folder: Path) -> str | None:
    """The key of what lies in `folder`; None if there is nothing whole, by the sizes of its files."""
    if (manifest := read_manifest(folder)) is None:
        return None
    sizes = {folder / name: recorded["bytes"] for name, recorded in manifest["files"].items()}
    return manifest["key"] if all(p.is_file() and p.stat().st_size == size for p, size in sizes.items()) else None


@contextmanager
def writing(folder: Path, key: str) -> Iterator[Path]:
    """A new folder to write a stage's files to; it takes the place of `folder` when the block ends without error.

    Several machines may do this at once: a reader sees one of their folders, whole, or for a moment none. A full disk
    is an `OSError`, whichever library came upon it.
    """
    temporary = temporary_beside(folder)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        write_manifest(temporary, key, [str(p.relative_to(temporary)) for p in temporary.rglob("*") if p.is_file()])
        _replace(folder, temporary)
    except Exception as error:
        # libraries in Rust (safetensors) wrap the system's error in one of their own, and keep its number in the text
        if not isinstance(error, OSError) and (number := re.search(r"\(os error (\d+)\)", str(error))):
            code = int(number[1])
            raise OSError(code, os.strerror(code), str(folder)) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace(folder: Path, new: Path) -> None:
    """Rename `new` to `folder`; what is there, or comes there meanwhile, is moved aside and then goes."""
    aside = []
    while True:
        try:
            new.rename(folder)
            break
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        old = temporary_beside(folder, ".old")
        with suppress(FileNotFoundError):  # another writer was faster
            folder.rename(old)
            aside.append(old)
    for old in aside:
        shutil.rmtree(old, ignore_errors=True)


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
