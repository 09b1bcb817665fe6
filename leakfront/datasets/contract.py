"""What a data set is, and the images that it holds."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from leakfront.datasets.files.facts import FileFacts
from leakfront.errors import InputError
from leakfront.registry import Plugin

MEMBER, DECOY, OUTSIDE = 1, 0, -1  # OUTSIDE: neither member nor decoy; for the reference
_TOGETHER = 64  # files that one thread hashes in turn


@dataclass(frozen=True)
class LabelledImages:
    """Images with their classes.

    images: uint8 [N, C, H, W], C 1 (grey) or 3 (RGB). labels: int64 [N] in 0 … len(classes) - 1; all 0 if the data has
    no classes. skipped: the number of files left out because they could not be read; 0 unless `skip_bad` was set.
    roles: int8 [N], `MEMBER`, `DECOY` or `OUTSIDE`, for a data set with known membership (an image is never both member
    and decoy); None for all other data, where coins decide membership.
    notes: what a reader should know of the files, such as those left out; sentences without their ends. files: facts of
    the file of each image, for controls; None if images have no files of their own. captions: the text of each image,
    one line that is not empty; None if the data has no captions. subjects: the name of the person, patient or object
    that each image shows; None if every image stands alone.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...] = ("all",)
    skipped: int = 0
    roles: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    files: FileFacts | None = None
    captions: tuple[str, ...] | None = None
    subjects: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def captions_at(self, indices: Sequence[int] | np.ndarray) -> tuple[str, ...] | None:
        """The captions of the images at these indices; None if the data has none."""
        return self.captions and tuple(self.captions[int(index)] for index in indices)


class Dataset(Plugin):
    """A data set, as a frozen dataclass of its parameters. Only `load` must be overridden.

    Class attributes: `known_membership`, whether the data set states who the members are (then no coins are flipped,
    and `count` must be overridden too); `places`, the names of the parameters that are paths: of its files; `hashed`,
    how many bytes of a file decide what it holds, with its size (None: all).
    """

    section = "data.params"
    known_membership: ClassVar[bool] = False
    hashed: ClassVar[int | None] = None

    @classmethod
    def where(cls) -> str:
        """The section of a config that holds the parameters, whichever data set is named: "data.params"."""
        return cls.section

    @property
    def has_outside(self) -> bool:
        """Whether there are images that are neither member nor decoy."""
        return True

    @property
    def has_captions(self) -> bool:
        """Whether the images have captions."""
        return False

    def load(self) -> LabelledImages:
        """All images; raises `InputError` with one sentence if they are missing or not as they should be."""
        raise NotImplementedError

    def count(self) -> int:
        """The number of members and decoys, before any image is read. Only asked if membership is known."""
        raise NotImplementedError

    def fetch(self) -> None:
        """Download the files that are missing, if the parameters allow it. By default nothing is downloaded."""

    def class_question(self) -> str:
        """A sentence if the classes can be numbered in two ways and no setting says which; by default none.

        Only asked if the numbers must be those of an external model.
        """
        return ""

    def listed(self) -> dict[str, list[Path]]:
        """The files that the data set consists of, for each of its places that is set; see `found`.

        By default the file that the path names, or all files below the folder that it names, sorted.
        """
        return {place: files_below(root) for place, root in self.roots().items()}

    @cached_property
    def found(self) -> dict[str, list[Path]]:
        """What `listed` returns, listed once."""
        return self.listed()

    def facts(self) -> list[Any]:
        """Of the files that are there, by place: name, size, number on the file system, times of content and of change.

        They change whenever a file does, also if another one takes its place with its size and time, and when a file is
        only moved or copied. As JSON holds them; empty for a data set without files.
        """
        roots = self.roots()
        listed = [[place, _file_facts(roots[place], files)] for place, files in self.found.items()]
        return listed if any(files for _, files in listed) else []

    def fingerprint(self) -> list[Any]:
        """The name and the SHA-256 of each file that is there, by place, as JSON holds them; every file is read.

        Of a file of more than `hashed` bytes only so many are, and its size. It takes no notice of where a place lies.
        Empty for a data set without places.
        """
        roots = self.roots()
        return [[place, _contents(roots[place], files, self.hashed)] for place, files in self.found.items()]

    def roots(self) -> dict[str, Path]:
        """The paths that the places name; a place that is None is left out."""
        named = {place: getattr(self, place) for place in self.places}
        return {place: user_path(path) for place, path in named.items() if path is not None}


def user_path(path: str) -> Path:
    """A path from a config, with `~` resolved; `InputError` for the home of an unknown user or an impossible path."""
    try:
        resolved = Path(path).expanduser()
        resolved.exists()
    except (OSError, RuntimeError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise InputError(f"the path of a data set cannot be resolved ({cause}): {path!r}") from None
    return resolved


def files_below(root: Path) -> list[Path]:
    """All files below a folder, sorted; or the path itself if it is no folder."""
    return sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else [root]


def _file_facts(root: Path, files: Iterable[Path]) -> list[Any]:
    """The name below `root`, size, inode and times (in ns) of each regular file that is there."""
    facts = []
    for path in files:
        with suppress(OSError):
            found = path.stat()
            if stat.S_ISREG(found.st_mode):
                times = (found.st_mtime_ns, found.st_ctime_ns)
                facts.append([str(path.relative_to(root)), found.st_size, found.st_ino, *times])
    return facts


def _contents(root: Path, files: Sequence[Path], most: int | None) -> list[Any]:
    """The name below `root` and the SHA-256 of each regular file that is there; None for one that cannot be read."""
    there = [path for path in files if path.is_file()]
    with ThreadPoolExecutor() as pool:  # hashing releases Python's global lock
        parts = [there[start : start + _TOGETHER] for start in range(0, len(there), _TOGETHER)]
        sums = [one for part in pool.map(partial(_checksums, most=most), parts) for one in part]
    return [[str(path.relative_to(root)), one] for path, one in zip(there, sums, strict=True)]


def _checksums(files: Sequence[Path], most: int | None) -> list[str | None]:
    sums: list[str | None] = []
    for path in files:
        try:
            sums.append(_checksum(path, most))
        except OSError:
            sums.append(None)
    return sums


def _checksum(path: Path, most: int | None) -> str:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if most is None or size <= most:
            return hashlib.file_digest(file, "sha256").hexdigest()
        return hashlib.sha256(file.read(most) + str(size).encode()).hexdigest()
