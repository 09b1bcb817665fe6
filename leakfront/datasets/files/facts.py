"""What is known of the files of images besides their pixels: for controls, which must not tell members from decoys."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

NUMBERS = ("bytes", "width", "height", "quantisation", "metadata_bytes")
WORDS = ("format", "mode", "tables", "coding", "metadata", "made_by")
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
