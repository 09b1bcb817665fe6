"""What a data set is, and the images that it holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from leakfront.errors import InputError
from leakfront.registry import Plugin

MEMBER, DECOY, OUTSIDE = 1, 0, -1  # OUTSIDE: neither member nor decoy; for the reference


@dataclass(frozen=True)
class LabelledImages:
    """Images with their classes.

    images: uint8 [N, C, H, W], C 1 (grey) or 3 (RGB). labels: int64 [N] in 0 … len(classes) - 1; all 0 if the data has
    no classes. skipped: the number of files left out because they could not be read; 0 unless `skip_bad` was set.
    roles: int8 [N], `MEMBER`, `DECOY` or `OUTSIDE`, for a data set with known membership (an image is never both member
    and decoy); None for all other data, where coins decide membership.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...] = ("all",)
    skipped: int = 0
    roles: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)


class Dataset(Plugin):
    """A data set, as a frozen dataclass of its parameters. Only `load` must be overridden.

    Class attributes: `known_membership`, whether the data set states who the members are (then no coins are flipped,
    and `count` must be overridden too); `places`, the names of the parameters that are paths: of its files.
    """

    section = "data.params"
    known_membership: ClassVar[bool] = False

    @classmethod
    def where(cls) -> str:
        """The section of a config that holds the parameters, whichever data set is named: "data.params"."""
        return cls.section

    @property
    def has_outside(self) -> bool:
        """Whether there are images that are neither member nor decoy."""
        return True

    def load(self) -> LabelledImages:
        """All images; raises `InputError` with one sentence if they are missing or not as they should be."""
        raise NotImplementedError

    def count(self) -> int:
        """The number of members and decoys, before any image is read. Only asked if membership is known."""
        raise NotImplementedError

    def listed(self) -> dict[str, list[Path]]:
        """The files that the data set consists of, for each of its places that is set.

        By default the file that the path names, or all files below the folder that it names, sorted.
        """
        return {place: _files_below(root) for place, root in self.roots().items()}

    def fingerprint(self) -> list[Any]:
        """The names, sizes and times of the files that are there, by place, as JSON holds them.

        It takes no notice of where a place lies. Empty for a data set without places.
        """
        roots = self.roots()
        return [[place, _file_facts(roots[place], files)] for place, files in self.listed().items()]

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


def _files_below(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else [root]


def _file_facts(root: Path, files: Iterable[Path]) -> list[Any]:
    """The name below `root`, the size and the time of each file that is there."""
    return [[str(p.relative_to(root)), p.stat().st_size, p.stat().st_mtime_ns] for p in files if p.is_file()]
