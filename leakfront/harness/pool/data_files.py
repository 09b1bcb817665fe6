"""What the files of a data set hold: a hash of their contents, made again only where a file may have changed."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

from leakfront.datasets import Dataset
from leakfront.documents import load_json
from leakfront.harness.store.artifacts import write_atomically
from leakfront.harness.store.layout import Layout

RECORD = "data.json"
SETTLED_SECONDS = 2.0  # since a file's last change: a change within one tick of the clock of a file system is not seen


@dataclass(frozen=True)
class DataFiles:
    """content: a hash of what the files hold, wherever they lie. facts: a hash of their names, sizes, times and numbers
    on the file system, which change whenever a file does; empty if nothing may be concluded from them."""

    content: str
    facts: str = ""


def examine(dataset: Dataset, layout: Layout | None = None) -> DataFiles:
    """The content of a data set's files. They are read, unless the run's folder records it for files with these facts.

    Raises `InputError` if they cannot be listed. Files that are missing are downloaded if the data set says so.
    """
    dataset.fetch()
    now, facts = time.time(), dataset.facts()
    seen = _hash(facts)
    if facts and layout is not None and (known := _recorded(layout, seen)):
        return DataFiles(known, seen)
    newest = max((file[-1] for _, files in facts for file in files), default=0) / 1e9
    return DataFiles(_hash(dataset.fingerprint()), seen if facts and newest < now - SETTLED_SECONDS else "")


def record(found: DataFiles, layout: Layout) -> None:
    """Record in a run's folder what `examine` found."""
    if found.facts:
        write_atomically(layout.root / RECORD, json.dumps({**vars(found), "sha256": _hash(vars(found))}, indent=1))


def _recorded(layout: Layout, facts: str) -> str:
    """The content that the run's folder records for these facts; empty if there is none or the record is damaged."""
    if (layout.root / RECORD).is_symlink():  # the run refuses it later; until then nothing is opened through it
        return ""
    try:
        held = load_json(layout.root / RECORD)
        found = DataFiles(held["content"], held["facts"])
        return found.content if found.facts == facts and held["sha256"] == _hash(vars(found)) else ""
    except (ValueError, KeyError, TypeError):
        return ""


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
