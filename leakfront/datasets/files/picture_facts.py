"""What a decoded picture says of its file, for controls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from leakfront.datasets.files.facts import Facts

_MADE_BY = (271, 272, 305)  # EXIF: make and model of the camera, and software
_KEYS, _LONGEST = 64, 400  # names of metadata, and characters of a fact, that are kept


def facts_of_picture(file: Path, image: Image.Image, mode: str) -> Facts:
    """The facts of a decoded picture. mode: as the file stores it."""
    exif = exif_of(image)
    info = {str(key)[:40]: value for key, value in list(image.info.items())[:_KEYS]}
    tables = getattr(image, "quantization", None) or {}
    size = sum(len(value) for value in info.values() if isinstance(value, bytes | str))
    names = [*sorted(info), *(f"exif {tag}" for tag in sorted(exif)[:_KEYS]), f"dpi {_dpi(info.get('dpi'))}"]
    made_by = [str(exif.get(tag, "")) for tag in _MADE_BY] + [str(info.get("Software", ""))]
    summed = float(sum(sum(table) for table in tables.values()))
    words = (image.format or "", mode, _hash(tables), _coding(image, info), " ".join(names), " ".join(made_by).strip())
    width, height = image.size
    numbers = (float(file.stat().st_size), float(width), float(height), summed, float(size))
    return Facts(numbers, tuple(word[:_LONGEST] for word in words))


def exif_of(image: Image.Image) -> dict[int, Any]:
    """The EXIF tags of a picture; none if they cannot be read, as viewers have it."""
    try:
        return dict(image.getexif())
    except Exception:  # Pillow raises nearly anything on damaged tags, which say nothing then
        return {}


def _dpi(value: Any) -> str:
    """The resolution that a file states, rounded, since formats store it as fractions of their own."""
    try:
        return " ".join(f"{float(one):.0f}" for one in value)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return ""


def _hash(tables: dict[int, Sequence[int]]) -> str:
    text = json.dumps({str(key): list(map(int, tables[key])) for key in sorted(tables)})
    return hashlib.sha256(text.encode()).hexdigest()[:16] if tables else ""


def _coding(image: Image.Image, info: dict[str, Any]) -> str:
    """How the pixels are coded: what JPEG, PNG, TIFF and GIF say of it."""
    sampling = f"sampling {get_sampling(image)}" if isinstance(image, JpegImageFile) else ""
    named = [f"{key} {info[key]}" for key in ("progressive", "interlace", "compression", "version") if key in info]
    return " ".join(filter(None, [sampling, *named]))
