"""JSON that a stage has written; its folder may come from somebody else, with checksums that are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from leakfront.documents import load_json
from leakfront.errors import InputError
from leakfront.results.run.rows import Row


def read_facts(path: Path, **kinds: type | tuple[type, ...]) -> dict[str, Any]:
    """The facts in a stage's file, among them those of these kinds, by name.

    Raises `InputError` if the file cannot be read or lacks one of them.
    """
    try:
        facts = load_json(path)
        if not isinstance(facts, dict):
            raise ValueError("it must hold a table")
        for name, kind in kinds.items():
            if name not in facts:
                raise ValueError(f"it has no {name!r}")
            if not isinstance(facts[name], kind):
                raise ValueError(f"{name!r} is {facts[name]!r}")
    except ValueError as error:
        raise InputError(f"{path} cannot be read ({error}); delete {path.parent}, and it is made again") from None
    return facts


def read_stored_rows(path: Path) -> list[Row]:
    """The rows in a stage's file. Raises `InputError` if the file cannot be read or holds something else."""
    try:
        if not isinstance(found := load_json(path), list):
            raise ValueError("it must hold a list")
        rows = [Row(**row) for row in found]
        for row in rows:
            if not isinstance(row.value, int | float) or not all(isinstance(text, str) for text in _texts(row)):
                raise ValueError("it has rows of another form")
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}); delete {path.parent}, and it is made again") from None
    return rows


def _texts(row: Row) -> tuple[Any, ...]:
    return (row.run, row.cell, row.dataset, row.defense, row.params, row.split, row.kind, row.source, row.metric)
