"""Settings as they may leave this machine: without secrets, and without absolute paths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_SECRET = re.compile(r"secret|password|credential|api_?key|(?:^|_)token$|^privacy_seed", re.IGNORECASE)
_ROOT = r"(?:~[^/\\\s]*[/\\]|/(?!/)|///|[A-Za-z]:[/\\]|\\\\)"  # how an absolute path begins; "//" is in addresses
_WHOLE = re.compile(rf"((?:[a-z_0-9]{{2,}}:)?){_ROOT}\S.*", re.DOTALL)  # a text that is a path, or "folder:PATH"
_WITHIN = re.compile(rf"(?<![\w.~:/\\-]){_ROOT}[^\s'\",;)]+")


def without_secrets_and_paths(value: Any) -> Any:
    """A value of JSON without the keys that may hold a secret; absolute paths in its texts and keys lose all but their
    last name."""
    match value:
        case str():
            return without_paths(value)
        case Mapping():
            return {
                without_paths(str(key)): without_secrets_and_paths(inner)
                for key, inner in value.items()
                if not _SECRET.search(str(key))
            }
        case list() | tuple():
            return [without_secrets_and_paths(inner) for inner in value]
    return value


def without_paths(text: str) -> str:
    """The text with the last name of each absolute path in its place: "folder:faces" for "folder:/data/faces"."""
    if found := _WHOLE.fullmatch(text):
        return found[1] + _last(text)
    return _WITHIN.sub(lambda path: _last(path[0]), text)


def _last(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]
