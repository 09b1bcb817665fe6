"""What is known of the files of images besides their pixels: for controls, which must not tell members from decoys."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

NUMBERS = ("bytes", "width", "height", "quantisation", "metadata_bytes")
WORDS = ("format", "mode", "tables", "coding", "metadata", "made_by")
_MADE_BY = (271, 272, 305)  # EXIF: make and model of the camera, and software
_KEYS, _LONGEST = 64, 400  # names of metadata, and characters of a fact, that are kept
_LEVELS = 20  # the most values of a fact that a control tells apart


@dataclass(frozen=True)
class Facts:
    """The facts of one file, in the order of `NUMBERS` and `WORDS`.

    bytes: the file's size. width, height: in pixels as stored. quantisation: the sum of JPEG's quantisation tables, 0
    for other formats. metadata_bytes: of EXIF data, colour profiles and texts. mode: Pillow's, with the bits of 16-bit
    files. tables: a hash of the quantisation tables. coding: subsampling, interlacing, compression. metadata: the names
    of all that a file states, and its resolution. made_by: camera and software.
    """

    numbers: tuple[float, ...]
    words: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FileFacts:
    """The facts of the files of N images. names: of the files below their folder. numbers: float64 [N, 5]."""

    names: tuple[str, ...]
    numbers: np.ndarray
    words: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, names: Sequence[str], facts: Sequence[Facts]) -> FileFacts:
        """Those of single files, in order."""
        numbers = np.array([one.numbers for one in facts], dtype=np.float64).reshape(len(facts), len(NUMBERS))
        return cls(tuple(names), numbers, tuple(one.words for one in facts))

    @classmethod
    def together(cls, parts: Sequence[FileFacts]) -> FileFacts:
        """Those of several sets of images, one after the other."""
        numbers = np.concatenate([part.numbers for part in parts])
        names, words = chain.from_iterable(part.names for part in parts), chain.from_iterable(p.words for p in parts)
        return cls(tuple(names), numbers, tuple(words))

    def select(self, index: np.ndarray) -> FileFacts:
        """Those of some images, int64 [M]."""
        names, words = tuple(self.names[i] for i in index), tuple(self.words[i] for i in index)
        return FileFacts(names, self.numbers[index], words)

    def features(self) -> np.ndarray:
        """What a classifier can read, float64 [N, d], without constant columns.

        These are logarithms of the numbers and of bytes per pixel, and an indicator of each value of a word that at
        least two files have (the commonest 20 of each).
        """
        logs = np.log1p(self.numbers)
        columns = [logs, logs[:, :1] - logs[:, 1:2] - logs[:, 2:3]]
        for values in zip(*self.words, strict=True):
            common = [value for value, count in sorted(Counter(values).items()) if count > 1]
            common = sorted(common, key=Counter(values).__getitem__, reverse=True)[:_LEVELS]
            columns += [np.array([[value == level] for value in values], dtype=np.float64) for level in common]
        together = np.concatenate(columns, axis=1)
        varied: np.ndarray = together[:, together.std(axis=0) > 0]
        return varied

    def save(self, path: Path, **arrays: np.ndarray) -> None:
        """Write all to `path` as safetensors, with further arrays."""
        texts = {"names": self.names, "words": self.words}
        save_file({"numbers": self.numbers, **arrays}, path, {"texts": json.dumps(texts)})

    @classmethod
    def load(cls, path: Path) -> tuple[FileFacts, dict[str, np.ndarray]]:
        """Read what `save` wrote, and the further arrays. Raises what safetensors and json raise."""
        with safe_open(path, framework="numpy") as file:
            texts = json.loads((file.metadata() or {})["texts"])
        arrays = load_file(path)
        numbers = arrays.pop("numbers")
        return cls(tuple(texts["names"]), numbers, tuple(map(tuple, texts["words"]))), arrays


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
    from PIL.JpegImagePlugin import JpegImageFile, get_sampling

    sampling = f"sampling {get_sampling(image)}" if isinstance(image, JpegImageFile) else ""
    named = [f"{key} {info[key]}" for key in ("progressive", "interlace", "compression", "version") if key in info]
    return " ".join(filter(None, [sampling, *named]))
