"""The data sets that a pool can be drawn from; one file each."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from leakfront.errors import InputError
from leakfront.registry import Registry, build

datasets = Registry("dataset", "leakfront.datasets", "leakfront.datasets", not_plugins={"through_torchvision"})


MEMBER, DECOY, OUTSIDE = 1, 0, -1  # OUTSIDE: neither, for the reference


@dataclass(frozen=True)
class LabelledImages:
    """Images with their classes.

    images: uint8 [N, C, H, W], C 1 (grey) or 3 (RGB). labels: int64 [N] in 0 … len(classes) - 1; all 0 when the data
    has no classes. skipped: how many files were dropped because they could not be read (0 unless asked for).
    roles: int8 [N], `MEMBER`, `DECOY` or `OUTSIDE`, of data that states who a model was trained on (no image is both);
    None of all other data, whose members are drawn by coins.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...] = field(default=("all",))
    skipped: int = 0
    roles: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)


class Dataset(Protocol):
    """A frozen dataclass of parameters that can be read."""

    def load(self) -> LabelledImages:
        """All images; raises `InputError` with one sentence if they are not there or not as they should be.

        A data set with a `path` to a folder may also have `listed()`, the files there that it consists of; without it
        all files below count as such. One that states who the members are says so by `given = True`, and has
        `count()`, the number of its members and decoys; `has_outside`, whether there are images that are neither;
        `places`, the names of its parameters that are paths; and `fingerprint()`, what the files there are.
        """


def open_dataset(spec: str, **params: object) -> Dataset:
    """The data set that `spec` names, with its parameters set and nothing read yet.

    spec: a registered name ("digits"), or one with a path ("folder:PATH", "npz:PATH"). params: its other parameters.
    Raises `InputError` for an unknown name or parameter, a path that is missing or not wanted, and refused values.
    """
    name, colon, path = spec.partition(":")
    if "\0" in spec:
        raise InputError(f"dataset {spec!r} has a null character, which no path can have")
    if name not in datasets.names() and os.path.exists(spec):  # noqa: PTH110 (False for what cannot be a path)
        kind = "folder" if Path(spec).is_dir() else "npz"
        raise InputError(f"unknown dataset {spec!r}: to read a {kind} write {kind + ':' + spec!r}")
    takes_path = any(parameter.name == "path" for parameter in fields(datasets.get(name)))
    if colon and not takes_path:
        raise InputError(f"dataset {name!r} takes no path, so write {name!r} instead of {spec!r}")
    if colon and "path" in params:
        raise InputError(f"dataset {spec!r} has a path already, so leave out path = {params['path']!r}")
    if colon:
        params["path"] = path
    if takes_path and not params.get("path"):
        raise InputError(f"dataset {spec!r} needs a path: write {name}:PATH")
    opened: Dataset = build(datasets, name, params, where=f"dataset {spec!r}")
    return opened


def file_facts(root: Path, files: Iterable[Path]) -> list[Any]:
    """Names below `root`, sizes and times of those of the files that are there, as JSON holds them."""
    return [[str(p.relative_to(root)), p.stat().st_size, p.stat().st_mtime_ns] for p in files if p.is_file()]


def user_path(path: str) -> Path:
    """A path from a config, with `~` resolved; `InputError` if it names nobody's home, or what no path can be."""
    try:
        resolved = Path(path).expanduser()
        resolved.exists()
    except (OSError, RuntimeError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise InputError(f"the path of a data set cannot be resolved ({cause}): {path!r}") from None
    return resolved
