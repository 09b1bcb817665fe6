"""Arrays of a safetensors file without a copy in memory: the processes of a machine that read it share its pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from leakfront.documents import parse_json

_TYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64,
    "F16": np.float16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip


def mapped(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file by name, mapped: a page is read when it is first touched.

    What is written into an array stays in this process: only the pages it changes are copied, and the file never is
    changed. The file must not be cut short meanwhile; our own are replaced as a whole. Raises `OSError`,
    `safetensors.SafetensorError` and `ValueError` if the file cannot be read, or has an array of another type.
    """
    with safe_open(path, framework="numpy"):  # checks that the header is valid and fits the file
        pass
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = parse_json(file.read(length).decode())
    header.pop("__metadata__", None)
    content = np.memmap(path, np.uint8, "c", offset=8 + length) if _has_values(path, length) else np.empty(0, np.uint8)
    return {name: _array(np.asarray(content), name, facts) for name, facts in header.items()}


def _has_values(path: Path, header: int) -> bool:
    return path.stat().st_size > 8 + header  # an empty rest of a file cannot be mapped


def _array(content: np.ndarray, name: str, facts: dict[str, Any]) -> np.ndarray:
    """One array, in the bytes that follow the header."""
    kind, shape, (start, end) = facts["dtype"], facts["shape"], facts["data_offsets"]
    if kind not in _TYPES:
        raise ValueError(f"the array {name!r} is of type {kind}")
    array: np.ndarray = content[start:end].view(_TYPES[kind]).reshape(shape)
    return array if array.flags.aligned else array.copy()
