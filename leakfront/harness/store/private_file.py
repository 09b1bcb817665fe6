"""Files for the user's eyes only."""

from __future__ import annotations

import os
from pathlib import Path

from leakfront.harness.store.durable import sync
from leakfront.harness.store.temporaries import temporary_beside


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, from its first moment on (mode 0600); it is complete or absent."""
    with temporary_beside(path) as place:
        with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        sync(place)
        place.replace(path)
        sync(path.parent)
