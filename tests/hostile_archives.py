"""Hostile archives of arrays, all of which must be refused."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from tests.containment import attempt
from tests.hostile_images import settings_for


def npy(header: bytes, data: bytes = b"", magic: bytes = b"\x93NUMPY\x01\x00") -> bytes:
    """An array file with any header."""
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return magic + struct.pack("<H", len(header)) + header + data


def declared(shape: str, dtype: str = "|u1") -> bytes:
    return b"{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (dtype.encode(), shape.encode())


def pickled() -> bytes:
    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, ("unpickled",)

    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def archive(content: bytes, name: str = "images.npy", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method, compresslevel=1) as file:
        file.writestr(name, content)
    return buffer.getvalue()


def encrypted() -> bytes:
    """An archive whose only member is marked as encrypted."""
    content = bytearray(archive(npy(declared("(2, 8, 8)"), b"\0" * 128)))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


@cache
def large() -> bytes:
    """400 MB of zeros, packed."""
    return archive(npy(declared("(10000, 1, 200, 200)"), bytes(400_000_000)))


WHOLE = archive(npy(declared("(2, 8, 8)"), b"\0" * 128))
ARCHIVES: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "text": lambda: b"text",
    "cut": lambda: WHOLE[:100],
    "pickle": lambda: b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x02os\x94.",
    "pickled objects": lambda: archive(pickled()),
    "pickle for an array": lambda: archive(b"\x80\x04\x8c\x02os\x94."),
    "wrong key": lambda: archive(npy(declared("(2, 8, 8)"), b"\0" * 128), "pictures.npy"),
    "path for a key": lambda: archive(npy(declared("(2, 8, 8)"), b"\0" * 128), "../../images.npy"),
    "encrypted": encrypted,
    "false checksum": lambda: WHOLE.replace(b"PK\x03\x04", b"PK\x03\x04", 1)[:14] + b"\1\2\3\4" + WHOLE[18:],
    "unknown method": lambda: WHOLE[:8] + b"\x63\0" + WHOLE[10:],
    "declared 1 TB": lambda: archive(npy(declared("(10_000_000_000, 10, 10)".replace("_", "")))),
    "declared 20 GB": lambda: archive(npy(declared("(20_000_000_000,)".replace("_", "")))),
    "declared beyond 64 bits": lambda: archive(npy(declared("(9" + "0" * 30 + ",)"))),
    "declared negative": lambda: archive(npy(declared("(-1, 8, 8)"))),
    "declared long items": lambda: archive(npy(declared("(2, 8, 8)", "|V2000000000"))),
    "large and truly there": large,
    "header that computes": lambda: archive(npy(b"__import__('os').mkdir('computed')")),
    "nested header": lambda: archive(npy(b"(" * 9_000)),
    "objects": lambda: archive(npy(declared("(2,)", "|O"), b"\0" * 16)),
    "texts": lambda: archive(npy(declared("(2, 8, 8)", "<U4"), b"\0" * 2048)),
    "version 9": lambda: archive(npy(declared("(2, 8, 8)"), b"\0" * 128, b"\x93NUMPY\x09\x00")),
    "no images": lambda: archive(npy(declared("(0, 8, 8)"))),
    "bzip2": lambda: archive(npy(declared("(2, 8, 8)"), b"\0" * 128), method=zipfile.ZIP_BZIP2),
    "lzma, cut": lambda: archive(npy(declared("(2, 8, 8)"), b"\0" * 128), method=zipfile.ZIP_LZMA)[:120],
}


def archive_complaint(kind: str, place: Path) -> str:
    """What is wrong with the answer to a run on an archive; empty if it is refused."""
    path = place / "a.npz"
    path.write_bytes(ARCHIVES[kind]())
    config = place / "c.toml"
    config.write_bytes(tomli_w.dumps(settings_for(f"npz:{path}", {})).encode())
    said, result = attempt(["run", str(config), "--dry-run", "--out", str(place / "run")], ["a.npz", "pool = "])
    return said or ("" if result is not None and result.exit_code == 2 else "it was read")
