"""TOML and JSON from disk, within limits on size, nesting and time, since a file may come from a stranger.

A file that exceeds one raises `ValueError`, like one that is not valid. The caller's sentence names the file.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_TOML = 2**20  # bytes; a run's config.toml repeats a config of at most 64 KiB, with the defaults
MAX_JSON = 16 * 2**20  # bytes; the run.json of 10,000 models takes 2 MiB
MAX_DEPTH = 64  # of nested tables and lists; a checkpoint, the deepest file, has about 15 levels
MAX_STEPS = 20_000_000  # of tomllib on dotted keys, about 3 s


def load_toml(path: Path, most: int = MAX_TOML) -> dict[str, Any]:
    """The tables of a TOML file of at most `most` bytes. Raises `ValueError`, also if the file cannot be read."""
    return parse_toml(read_text(path, most))


def load_json(path: Path, most: int = MAX_JSON) -> Any:
    """The content of a JSON file of at most `most` bytes. Raises `ValueError`, also if the file cannot be read."""
    return parse_json(read_text(path, most))


def read_text(path: Path, most: int) -> str:
    """The text (UTF-8) of a regular file of at most `most` bytes. Raises `ValueError`, and never waits for a pipe."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is not a regular file")
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    if len(content) > most:
        raise ValueError(f"it is larger than {_size(most)}")
    return content.decode()


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML. Raises `ValueError` if it is invalid, nested too deeply or would take too long."""
    if _steps(text) > MAX_STEPS:
        raise ValueError("its dotted keys are too long")
    found: dict[str, Any] = _parsed(tomllib.loads, text)
    return found


def parse_json(text: str) -> Any:
    """Parse JSON. Raises `ValueError` if it is invalid or nested too deeply."""
    return _parsed(json.loads, text)


def _parsed(parse: Callable[[str], Any], text: str) -> Any:
    """What a parser makes of a text, unless it is nested too deeply."""
    try:
        found = parse(text)
    except RecursionError:
        raise _too_deep() from None
    _check_depth(found)
    return found


def _steps(text: str) -> int:
    """At most how many steps tomllib takes on dotted keys: on each, about its parts times all parts above it.

    Every dot counts, since finding those of keys would mean parsing the text.
    """
    above, steps = 0, 0
    for line in text.splitlines():
        dots = line.count(".")
        if line.lstrip().startswith("["):
            above = max(above, dots)
        steps += (dots + 1) * (dots + above + 1)
    return steps


def _check_depth(document: Any) -> None:
    """Raise `ValueError` for more than `MAX_DEPTH` levels, which could exceed Python's stack in what follows."""
    level: list[Any] = [[document]]
    for _ in range(MAX_DEPTH + 1):
        inside = (value for outer in level for value in (outer.values() if isinstance(outer, dict) else outer))
        level = [value for value in inside if isinstance(value, dict | list)]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"it is nested deeper than {MAX_DEPTH} levels")


def _size(count: int) -> str:
    return f"{count // 2**20} MiB" if count >= 2**20 else f"{count // 2**10} KiB"
