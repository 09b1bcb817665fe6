"""The paths of a run's data and models: in one file of its folder, for the user's eyes only, and in no other."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from leakfront.documents import load_json
from leakfront.errors import InputError
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.private_file import write_private

FILE = "private-paths.json"


def write_paths(layout: Layout, places: Mapping[str, str]) -> None:
    """Write the paths of a run by their keys in its config, made absolute; without any, remove the file."""
    path = layout.root / FILE
    if places:
        known = {key: absolute(place) for key, place in places.items()}
        write_private(path, json.dumps(known, indent=1).encode())
    else:
        path.unlink(missing_ok=True)


def read_paths(layout: Layout) -> dict[str, str]:
    """The paths of a run by their keys in its config; empty if its folder does not hold them.

    Raises `InputError` for a file of another form.
    """
    path = layout.root / FILE
    if not path.exists():
        return {}
    try:
        held = load_json(path)
        if not isinstance(held, dict) or not all(isinstance(place, str) and place for place in held.values()):
            raise ValueError('it must hold paths by their keys, as in {"data.params.path": "/photos"}')
    except ValueError as error:
        raise InputError(f"{path} cannot be read ({error}); correct it, or delete it") from None
    return held


def absolute(path: str) -> str:
    """The path as an absolute one; links in it are not followed. A path that cannot be stays as it is."""
    try:
        return os.path.abspath(Path(path).expanduser())  # noqa: PTH100 (`resolve` would follow links)
    except (OSError, RuntimeError, ValueError):
        return path


def exists(path: str) -> bool:
    """Whether there is something at a path; False for what cannot be one."""
    return os.path.exists(path)  # noqa: PTH110 (`Path.exists` raises for what cannot be one)


def is_another(held: str, given: str) -> bool:
    """Whether two paths differ, and there is still something at the first: else it has moved."""
    return exists(held) and not (exists(given) and os.path.samefile(held, given))  # noqa: PTH121
