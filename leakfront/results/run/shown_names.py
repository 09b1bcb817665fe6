"""Which names and texts of a run may be shown to others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

LEFT_OUT = "(left out)"
_PATH = re.compile(r"~|\\|(?<!\d)/|/(?!\d)")  # 1/3 is none
_ABSOLUTE = re.compile(r"(?<![\w.:/)])~?/\w|~\w*/|[A-Za-z]:\\|\\\\")
_FILE = re.compile(r"\.(png|jpe?g|bmp|webp|gif|tiff?|npz|npy|csv|dcm|nii|gz|zip|pth?|safetensors)\b", re.IGNORECASE)


@dataclass(frozen=True)
class ShownNames:
    """What is known of the names of a run.

    users: names of users. folders: the names in the paths of its data and models. public: names that say nothing of the
    run, since this package gives them: of defenses, attacks, data sets, models. places: the keys of its config that
    hold paths.
    """

    users: frozenset[str]
    folders: frozenset[str]
    public: frozenset[str]
    places: frozenset[str]

    def shows(self, label: str) -> bool:
        """Whether a name or label may be shown: it is public, or holds no name of a folder or user, and no path."""
        if all(part in self.public for part in label.split("+")):
            return True
        return not _PATH.search(label) and not _FILE.search(label) and not self._private.search(_plain(label))

    def of_text(self, text: str) -> str:
        """A sentence as it may be shown: left out if it holds a path, the name of a file or that of a user."""
        hides = _ABSOLUTE.search(text) or _FILE.search(text) or self._of_users.search(_plain(text))
        return LEFT_OUT if hides else text

    def of_texts(self, value: Any) -> Any:
        """A value of JSON with each of its texts, keys included, as it may be shown; see `of_text`."""
        if isinstance(value, str):
            return self.of_text(value)
        if isinstance(value, Mapping):
            return {self.of_text(str(key)): self.of_texts(inner) for key, inner in value.items()}
        return [self.of_texts(inner) for inner in value] if isinstance(value, list | tuple) else value

    @cached_property
    def _private(self) -> re.Pattern[str]:
        return _words(self.folders | self.users)

    @cached_property
    def _of_users(self) -> re.Pattern[str]:
        return _words(self.users)


def _words(names: frozenset[str]) -> re.Pattern[str]:
    """Matches a plain text in which one of the names stands."""
    plain = sorted({word for name in names if len(word := _plain(name).strip()) > 1})
    return re.compile("|".join(f" {re.escape(word)} " for word in plain) or r"(?!)")


def _plain(text: str) -> str:
    """The text in small letters, its words between single spaces: however a name was made part of another."""
    words = re.sub(r"[\W_]+", " ", text.lower()).strip()
    return f" {words} "
