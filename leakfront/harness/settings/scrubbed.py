"""Texts for files of a run that may be shared: without absolute paths, and without the user's name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leakfront.harness.settings.places import short_name, without_user
from leakfront.version import PACKAGE

_HOME = re.compile(r"(?:/home|/Users|[A-Za-z]:\\Users)[/\\][^/\\\s'\":]+")
_QUOTED = re.compile(r"(?<=')(?:~|/|[A-Za-z]:\\)[^'\n]*(?=')|(?<=\")(?:~|/|[A-Za-z]:\\)[^\"\n]*(?=\")")
_BARE = re.compile(r"(?<![\w.~:/\\<-])(?:~?/[^\s'\"/<>|][^\s'\"<>|]*|[A-Za-z]:\\[^\s'\"<>|]+)")
_KEPT = re.compile(r".*(?:[/\\](?:site|dist)-packages[/\\]|[/\\]lib[/\\](?=python[\d.]+[/\\]))(.+\.py)")
_END = ".,;:)]}"  # of a sentence, not of a path


@dataclass(frozen=True)
class Scrubber:
    """Replaces absolute paths in texts by their last names, and the user's name by a mask.

    known: paths of the run, such as those of its data, with what stands for each; names of files below them are kept.
    Of the paths of code, as in a traceback, the part within its package is kept.
    """

    known: Mapping[str, str]

    @classmethod
    def of(cls, places: Mapping[str, str], root: Path) -> Scrubber:
        """For a run in the folder `root` with these paths in its config (see `settings.places`)."""
        known: dict[str, str] = {}
        for path in (*places.values(), str(root)):
            name = short_name(path)
            with suppress(OSError, RuntimeError, ValueError):
                absolute = os.path.abspath(Path(path).expanduser())  # noqa: PTH100 (the path as the user knows it)
                known |= {absolute: name, str(Path(absolute).resolve()): name}
            if "/" in path.strip("./~"):  # else it is one name, which may be any word
                known[path.rstrip("/")] = name
        with suppress(RuntimeError):
            known[str(Path.home())] = "~"
        known[str(PACKAGE)] = PACKAGE.name
        return cls({path: name for path, name in known.items() if len(path) > 1})

    def __call__(self, text: str) -> str:
        """The text without absolute paths and the user's name."""
        for path in sorted(self.known, key=len, reverse=True):
            whole = rf"(?<![\w/.~-]){re.escape(path)}(?![\w-])"
            text = re.sub(whole, lambda _, path=path: self.known[path], text)  # type: ignore[misc]
        text = _HOME.sub("~", text)
        text = _QUOTED.sub(lambda found: _last(found[0]), text)
        text = _BARE.sub(lambda found: _last(found[0]), text)
        return without_user(text)

    def all_in(self, value: Any) -> Any:
        """A value of JSON, with all its texts scrubbed. Keys stay."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {key: self.all_in(inner) for key, inner in value.items()}
        return [self.all_in(inner) for inner in value] if isinstance(value, list | tuple) else value


def _last(path: str) -> str:
    """The last name of a path that stands in a text, or its part within a package of code."""
    bare = path.rstrip(_END)
    if kept := _KEPT.fullmatch(bare):
        return kept[1] + path[len(bare) :]
    return re.split(r"[/\\]", bare.rstrip("/\\"))[-1].lstrip("~") + path[len(bare) :]
