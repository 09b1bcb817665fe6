"""The subject of each image file: the person, patient or object that it shows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from annotated_types import MaxLen, MinLen

from leakfront.datasets.files.listing import printable
from leakfront.documents import parse_json, read_text
from leakfront.errors import InputError

# a parameter `subjects`: "folder", "column:NAME" or "regex:PATTERN"
Subjects = Annotated[str, MinLen(1), MaxLen(200)]
METADATA = ("metadata.csv", "metadata.jsonl")
_MOST = 2**30  # bytes of a file of metadata
_COLUMN, _REGEX = "column:", "regex:"
_REPEATS = re.compile(r"[*+}][^()]*\)[^()]*?[*+{]|\\\d|\(\?[P(=!<]")  # may take time without end, or is not needed


def metadata_file(rule: str, root: Path) -> Path | None:
    """The file that names the subjects, if it is one; `InputError` if it is not there."""
    if not rule.startswith(_COLUMN):
        return None
    found = [root / name for name in METADATA if (root / name).is_file()]
    if not found:
        raise InputError(
            f"{root} has no {METADATA[0]} and no {METADATA[1]}, which data.params.subjects = {rule!r} names"
        )
    if len(found) > 1:
        raise InputError(f"{root} has both {' and '.join(METADATA)}; leave the one that names the subjects")
    return found[0]


def subjects_of(rule: str, root: Path, files: Sequence[Path]) -> tuple[str, ...]:
    """The subject of each file of the folder `root`.

    rule: "folder", the sub-folder; "column:NAME", that column of metadata.csv or metadata.jsonl, whose column file_name
    names files below the folder; "regex:PATTERN", what the pattern's first group (without one, the pattern) finds in
    the file's name below the folder. Raises `InputError` for another rule, and for a file without a subject.
    """
    names = [file.relative_to(root).as_posix() for file in files]
    if rule == "folder":
        found = {name: name.rpartition("/")[0] for name in names}
    elif rule.startswith(_COLUMN):
        found = _column(rule.removeprefix(_COLUMN), root, rule)
    elif rule.startswith(_REGEX):
        found = _matches(rule.removeprefix(_REGEX), names)
    else:
        raise InputError(f"data.params.subjects is {rule!r}; it must be folder, column:NAME or regex:PATTERN")
    if missing := [name for name in names if not found.get(name)]:
        raise InputError(
            f"data.params.subjects = {rule!r} names no subject for {len(missing)} of the {len(names)} images in "
            f"{root}, the first of them {printable(missing[0])}"
        )
    return tuple(found[name] for name in names)


def _matches(pattern: str, names: Sequence[str]) -> dict[str, str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"data.params.subjects: {pattern!r} is no regular expression ({error})") from None
    if compiled.groups > 1 or _REPEATS.search(pattern):
        raise InputError(
            f"data.params.subjects: {pattern!r} has several groups, a repeated group with repeats in it, or a "
            "reference; one plain group is enough"
        )
    matches = ((name, compiled.search(name)) for name in names)
    return {name: match[compiled.groups] or "" for name, match in matches if match is not None}


def _column(column: str, root: Path, rule: str) -> dict[str, str]:
    source = metadata_file(rule, root)
    assert source is not None
    try:
        text = read_text(source, _MOST).removeprefix("\ufeff")
        if source.suffix == ".csv":
            entries = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
        else:
            entries = [parse_json(line) for line in text.splitlines() if line.strip()]
        rows = [(str(entry["file_name"]), entry[column]) for entry in entries]
    except (KeyError, TypeError) as error:
        raise InputError(f"{source} has no column {error}; it must have file_name and {column!r}") from None
    except (ValueError, csv.Error) as error:
        raise InputError(f"{source} cannot be read ({error})") from None
    found: dict[str, str] = {}
    for name, value in rows:
        subject = "" if value is None else str(value).strip()
        if found.setdefault(name, subject) != subject:
            raise InputError(
                f"{source} names two subjects of {printable(name)}, {found[name]!r} and {subject!r}; leave one"
            )
    return found
