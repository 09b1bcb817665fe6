"""What a person says of the captions on the sheet of copies: a CSV with a verdict for each."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from leakfront.documents import read_text
from leakfront.errors import InputError

COPY, NOT, UNSURE = "copy", "not", "unsure"
VERDICTS = (COPY, NOT, UNSURE)
HEAD = ["prompt", "verdict"]
_MAX = 2**24  # bytes


def read_marks(path: Path) -> dict[str, str]:
    """The verdict for each key. Raises `InputError` for anything but what the sheet saves."""
    try:
        lines = list(csv.reader(io.StringIO(read_text(path, _MAX))))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path} cannot be read ({error}); give the marks.csv that the sheet of copies saves"
        ) from None
    if not lines or lines[0] != HEAD:
        raise InputError(f"{path} must begin with the line {','.join(HEAD)!r}, as the sheet of copies saves it")
    marks: dict[str, str] = {}
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(HEAD) or line[1] not in VERDICTS:
            raise InputError(f"{path}, line {number}: it must be a prompt and one of {', '.join(VERDICTS)}")
        if line[0] in marks:
            raise InputError(f"{path}, line {number}: the prompt {line[0]!r} is there twice")
        marks[line[0]] = line[1]
    return marks


def check_marks(path: Path, marks: Mapping[str, str], known: set[str]) -> None:
    """Raise `InputError` unless all marks are of prompts that the run has flagged."""
    if foreign := next((key for key in marks if key not in known), None):
        raise InputError(f"{path} has marks of another run: this one has not flagged {foreign!r}")
