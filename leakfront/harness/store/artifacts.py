"""Artifacts on disk: one folder per stage, written completely or not at all, with a content key and checksums."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, NotRequired, TypedDict

from leakfront.documents import parse_json, read_text
from leakfront.harness.store.attempts import if_latest
from leakfront.harness.store.durable import make_folder, sync, sync_tree
from leakfront.harness.store.temporaries import aside, temporary_beside

MANIFEST = "manifest.json"
MAX_MANIFEST = 64 * 2**20  # bytes; that of a run of 10,000 models takes 35 MiB


class Recorded(TypedDict):
    """The record of one file in a manifest."""

    sha256: str
    bytes: int


class Manifest(TypedDict):
    """The key of an artifact, its files by their paths in it, and how it was made (see `provenance.made_by`).

    made: only of artifacts of a stage.
    """

    key: str
    files: dict[str, Recorded]
    made: NotRequired[dict[str, Any]]


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file in one step: a reader sees the old or the new content, also after a kill or a loss of power."""
    with temporary_beside(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)


def write_manifest(folder: Path, key: str, names: Iterable[str], made: Mapping[str, Any] | None = None) -> None:
    """Record these files of a folder with their checksums, and how they were made."""
    write_atomically(folder / MANIFEST, _manifest_of(folder, key, names, made))


def _manifest_of(folder: Path, key: str, names: Iterable[str], made: Mapping[str, Any] | None) -> str:
    files = {n: Recorded(sha256=checksum(folder / n), bytes=(folder / n).stat().st_size) for n in sorted(names)}
    return _as_text(_manifest(key, files, made))


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder; None if there is none, if a byte of it has changed, or if it names files elsewhere."""
    try:
        text = read_text(folder / MANIFEST, MAX_MANIFEST)
        found = parse_json(text)
        recorded = {n: Recorded(sha256=str(f["sha256"]), bytes=int(f["bytes"])) for n, f in found["files"].items()}
        manifest = _manifest(str(found["key"]), recorded, found.get("made"))
        return manifest if text == _as_text(manifest) and all(map(_stays_inside, recorded)) else None
    except (OSError, ValueError, OverflowError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _manifest(key: str, files: dict[str, Recorded], made: Mapping[str, Any] | None) -> Manifest:
    manifest = Manifest(key=key, files=files)
    if made is not None:
        manifest["made"] = dict(made)
    return manifest


def _stays_inside(name: str) -> bool:
    """Whether a name in a manifest is one that `write_manifest` gives: a path below the folder, on one line."""
    path = PurePosixPath(name)
    return name.isprintable() and name == str(path) != "." and not path.is_absolute() and ".." not in path.parts


def _as_text(manifest: Manifest) -> str:
    """The text of a manifest's file: the manifest, and its own checksum."""
    own = hashlib.sha256(json.dumps(manifest).encode()).hexdigest()
    return json.dumps({**manifest, "sha256": own}, indent=1)


def stored_key(folder: Path) -> str | None:
    """The key of the artifact in `folder`; None if there is none, or a file is missing or has another size."""
    if (manifest := read_manifest(folder)) is None:
        return None
    sizes = {folder / name: recorded["bytes"] for name, recorded in manifest["files"].items()}
    return manifest["key"] if all(p.is_file() and p.stat().st_size == size for p, size in sizes.items()) else None


@contextmanager
def writing(folder: Path, key: str, made: Mapping[str, Any] | None = None) -> Iterator[Path]:
    """Yield a temporary folder for a stage's files. It replaces `folder` when the block ends without error.

    made: how they were made, for the manifest.

    All of it is on the disk before anything of the folder that it replaces is removed. Several machines may do this at
    once: a reader sees one of their complete folders, or for a moment none. A full disk raises `OSError`, whichever
    library met it. Raises `LateAttemptError` if another attempt was begun at this process's task.
    """
    make_folder(folder.parent)
    with temporary_beside(folder) as temporary:
        temporary.mkdir()
        try:
            yield temporary
            names = [str(p.relative_to(temporary)) for p in temporary.rglob("*") if p.is_file()]
            (temporary / MANIFEST).write_text(_manifest_of(temporary, key, names, made))
            sync_tree(temporary)
            with if_latest():
                _replace(folder, temporary)
        except Exception as error:
            # libraries in Rust (safetensors) wrap the system's error in their own, with its number in the text
            if not isinstance(error, OSError) and (number := re.search(r"\(os error (\d+)\)", str(error))):
                code = int(number[1])
                raise OSError(code, os.strerror(code), str(folder)) from error
            raise


def _replace(folder: Path, new: Path) -> None:
    """Rename `new` to `folder`. A folder that is there, or appears in the meantime, is moved aside and then removed."""
    moved: list[Path] = []
    while True:
        try:
            new.rename(folder)
            break
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        old = aside(new, len(moved))
        with suppress(FileNotFoundError):  # another writer was faster
            folder.rename(old)
            moved.append(old)
    sync(folder.parent)
    for old in moved:
        shutil.rmtree(old, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove an artifact that is no longer needed; a kill or a loss of power leaves all of it or nothing."""
    if folder.is_dir():
        with if_latest(), temporary_beside(folder) as temporary:
            folder.rename(temporary)
            sync(folder.parent)


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
