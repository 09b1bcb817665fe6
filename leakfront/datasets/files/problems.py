"""Several faults of one input, told together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from leakfront.errors import InputError

T = TypeVar("T")


class UnsaidError(InputError):
    """A file can be read in several ways, and no setting says which. Such a file is never just skipped."""


def each(calls: Iterable[Callable[[], T]]) -> list[T]:
    """The results of all calls. If some raise `InputError`, one error with the sentences of all of them, each once."""
    results: list[T] = []
    sentences: dict[str, None] = {}
    for call in calls:
        try:
            results.append(call())
        except InputError as error:
            sentences |= dict.fromkeys(error.sentences)
    if sentences:
        raise InputError(*sentences)
    return results


class Problems:
    """Faults of many files. Each kind is told once, with its first file and the number of the others."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._count: dict[str, int] = {}

    def add(self, kind: str, sentence: str) -> None:
        """Note a fault of a file; the sentence counts only if it is the first of its kind."""
        self._first.setdefault(kind, sentence)
        self._count[kind] = self._count.get(kind, 0) + 1

    def sentences(self) -> list[str]:
        """One sentence for each kind."""
        return [f"{sentence}{self._others(kind)}" for kind, sentence in self._first.items()]

    def raise_any(self) -> None:
        """Raise `InputError` with a sentence for each kind, if there is any."""
        if found := self.sentences():
            raise InputError(*found)

    def _others(self, kind: str) -> str:
        others = self._count[kind] - 1
        return f" ({others:,} more of this kind)" if others else ""
