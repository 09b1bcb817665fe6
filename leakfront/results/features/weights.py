"""What extractors with published weights share: the file's checksum, and the note in a run's folder of which it was."""

from __future__ import annotations

import hashlib
from pathlib import Path

from leakfront.errors import InputError


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_which(name: str, sha256: str, path: Path) -> None:
    """Write to `path`, as safetensors without a tensor, which weights an extractor has."""
    from safetensors.numpy import save_file

    save_file({}, path, {name: sha256})


def load_which(name: str, sha256: str, path: Path) -> None:
    """Raise `InputError` unless `path` names these weights of this extractor."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            found = (file.metadata() or {})[name]
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(f"{path} does not say which {name} weights were used; delete it and run again") from error
    if found != sha256:
        raise InputError(
            f"the {name} weights have changed while the run went on (their SHA-256 begins with {sha256[:8]}, no longer "
            f"with {found[:8]}); run again"
        )
