"""Checks of results.csv and run.json, which may come from somebody else, as of the config they once followed from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakfront.errors import InputError
from leakfront.labels import FORMULA, LABEL, NAME, PLAIN, is_label, is_name, is_plain, without_controls
from leakfront.results.run.forms import check_info

if TYPE_CHECKING:
    import pandas as pd

_RULES: dict[str, tuple[Callable[[str], bool], str]] = {
    **dict.fromkeys(("run", "model", "defense", "params", "suite", "kind", "metric", "ci_method"), (is_label, LABEL)),
    "cell": (is_plain, PLAIN),
    "split": (is_plain, PLAIN),
    "source": (is_name, NAME),
}
# the parts of run.json whose texts stand in tables, keys included
_IN_TABLES = ("name", "suite", "features", "model", "attacks", "attack_facts", "attack_notes", "in_front", "lines",
              "metric_facts", "guarantees", "covers", "acts_on", "stops_short_of")  # fmt: skip


def checked_rows(path: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of `path`. Raises `InputError` for a label or name that no config could give.

    The data set, which may be any path, has its control codes escaped.
    """
    for column, (is_right, right) in _RULES.items():
        for value in rows[column].unique():
            if value and not is_right(value):
                raise InputError(f"{path}: {column} is {value!r}; {right}")
    escaped = {name: without_controls(name) for name in rows["dataset"].unique()}
    return rows.assign(dataset=[escaped[name] for name in rows["dataset"]])


def checked_info(path: Path, info: dict[str, Any]) -> dict[str, Any]:
    """The facts of `path`, with control codes escaped.

    Raises `ValueError` for facts of another form, and `InputError` for a label or name that no config gives.
    """
    check_info(info)
    for number, cell in enumerate(info.get("cells", ())):
        for key in ("name", "defense", "params", "split"):
            is_right, right = _RULES["cell" if key == "name" else key]
            if not (isinstance(cell[key], str) and is_right(cell[key])):
                raise InputError(f"{path}: {key} of cells[{number}] is {cell[key]!r}; {right}")
    for number, way in enumerate(info.get("made", ())):
        tables = isinstance(way, dict) and all(isinstance(way.get(key, {}), dict) for key in ("versions", "machine"))
        if not (tables and isinstance(way.get("artifacts"), int)):
            raise InputError(
                f"{path}: made[{number}] must have the tables versions and machine, and a number of artifacts"
            )
    for attack in info.get("attacks", ()):
        check_attack(attack, path)
    for key in _IN_TABLES:
        for text in _texts(info.get(key)):
            if text.startswith(FORMULA) or (key == "name" and not is_label(text)):
                raise InputError(f"{path}: {key} holds {text!r}; {LABEL}")
    escaped: dict[str, Any] = _escaped(info)
    return {"name": "", "cells": [], **escaped}


def check_attack(label: str, path: Path) -> None:
    """Raise `InputError` for a label that no attack of a config can have."""
    if not (isinstance(label, str) and is_name(label)):
        raise InputError(f"{path}: an attack is called {label!r}; {NAME}")


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value read from JSON, keys included."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text:
                yield text
            case dict() as table:
                waiting += [*table, *table.values()]
            case list() as items:
                waiting += items


def _escaped(value: Any) -> Any:
    """A value read from JSON, with the control codes of all texts and keys escaped."""
    match value:
        case str():
            return without_controls(value)
        case dict():
            return {without_controls(key): _escaped(item) for key, item in value.items()}
        case list():
            return [_escaped(item) for item in value]
    return value
