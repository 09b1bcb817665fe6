"""The JSON files of a pipeline folder, each key checked against its possible values, and all faults named at once."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from leakfront.documents import load_json
from leakfront.errors import InputError
from leakfront.models.external.places import POINTER, inside, is_pointer
from leakfront.parameters import checked, requirement

MAX_BYTES = 4 * 2**20  # of a JSON file; 100,000 trained betas take 2 MiB
SHOWN = 60  # characters of a value in a sentence

Section = TypeVar("Section")


def read_object(path: Path, home: Path, faults: list[str]) -> dict[str, Any] | None:
    """The JSON object in a file; None with a sentence in `faults` if it is missing, no object, too large or a link out
    of `home`."""
    if inside(path, home, faults) is None:
        return None
    try:
        if is_pointer(path):
            faults.append(f"{path} {POINTER}")
            return None
        value = load_json(path, MAX_BYTES)
    except (ValueError, OSError) as error:
        faults.append(f"{path} cannot be read as JSON: {one_line(error)}")
        return None
    if not isinstance(value, dict):
        faults.append(f"{path} must hold a JSON object, not {shown(value)}")
        return None
    return value


def read_section(
    section: type[Section], path: Path, settings: dict[str, Any], ignored: Collection[str], what: str, faults: list[str]
) -> Section:
    """The settings as a dataclass `section`; a key that is wrong gets its default, and a sentence in `faults`.

    Keys that begin with "_" are private to diffusers and left out, like those in `ignored`. what: whose keys are known.
    """
    hints = get_type_hints(section, include_extras=True)
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if key.startswith("_") or key in ignored:
            continue
        if key not in hints:
            faults.append(f"{path} has the key {shown(key)}, which {what}; remove it only if it changes nothing there")
            continue
        try:
            values |= checked(section, {key: value}, "")
        except InputError:
            faults.append(f"{path}: {key} is {shown(value)}; it must {requirement(hints[key], value)}")
    return section(**values)


def shown(value: Any) -> str:
    """A value as part of a sentence, shortened."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 2]} …"


def one_of(names: Collection[str]) -> str:
    """The names as part of a sentence: "one of A, B"."""
    return f"one of {', '.join(names)}" if len(names) > 1 else next(iter(names))


def one_line(error: BaseException) -> str:
    """The message of an error on one line, at most 200 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
