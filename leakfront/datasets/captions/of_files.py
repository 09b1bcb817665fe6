"""The captions of a folder of images: in `metadata.jsonl` or `metadata.csv`, or as NAME.txt beside NAME.png."""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from leakfront.documents import parse_json, read_text
from leakfront.errors import InputError

METADATA = ("metadata.jsonl", "metadata.csv")
MAX_METADATA = 2**30  # bytes of the file that lists all captions; a million captions take about 100 MiB
MAX_CAPTION = 2**14  # characters of one caption
MAX_FILE = 2**18  # bytes of a file with one caption


def caption_files(root: Path, images: Sequence[Path]) -> list[Path]:
    """The files that hold the captions of the images of the folder `root`, sorted.

    Raises `InputError` if there are none, or if captions are given in two ways.
    """
    listed = [root / name for name in METADATA if os.path.lexists(root / name)]
    beside = sorted({text for file in images if os.path.lexists(text := file.with_suffix(".txt"))})
    home = root.resolve()
    for file in listed + beside:
        if not Path(os.path.realpath(file)).is_relative_to(home):
            raise InputError(f"{file} is a link that leads out of {root}, which is not followed; copy the file there")
    if len(listed) > 1:
        raise InputError(f"{root} has both {METADATA[0]} and {METADATA[1]}; remove one, or captions are given twice")
    if listed and beside:
        raise InputError(
            f"{root} has {listed[0].name} and also {beside[0].relative_to(root)} beside an image; remove one, or "
            "captions are given twice"
        )
    if not listed and not beside:
        raise InputError(
            f"{root} has no captions: no {METADATA[0]}, no {METADATA[1]}, and no .txt file beside an image; give some, "
            "or set captions = false"
        )
    return listed or beside


def captions_of(root: Path, images: Sequence[Path]) -> tuple[str, ...]:
    """The caption of each image of the folder `root`, one line each.

    `metadata.jsonl` has one object with `file_name` and `text` a line, `metadata.csv` columns of these names; file
    names are relative to `root`. Else the caption of NAME.png is all of NAME.txt. Runs of white space become one space.
    Raises `InputError` if a file cannot be read, if an image has no caption, an empty one or two, and if a caption's
    image is not there.
    """
    files = caption_files(root, images)
    if files[0].name in METADATA and files[0].parent == root:
        found = dict(_listed(root, files[0], images))
    else:
        beside, there = Counter(file.with_suffix(".txt") for file in images), set(files)
        if twice := next((text for text, count in beside.items() if count > 1 and text in there), None):
            raise InputError(
                f"{twice} is beside {beside[twice]} images of that name; rename them, or use {METADATA[0]}"
            )
        found = {file: _text(text) for file in images if (text := file.with_suffix(".txt")) in there}
    missing = [file for file in images if not found.get(file)]
    if missing:
        raise InputError(
            f"{len(missing)} of the {len(images)} images in {root} have no caption, or an empty one, the first of them "
            f"{missing[0].relative_to(root)}; give each image one, or set captions = false"
        )
    return tuple(found[file] for file in images)


def has_captions(root: Path, images: Sequence[Path]) -> bool:
    """Whether a folder of images has the files of captions, one for all or one beside an image."""
    return any(os.path.lexists(root / name) for name in METADATA) or any(
        os.path.lexists(file.with_suffix(".txt")) for file in images
    )


def captions_in(source: Path, folders: Mapping[Path, Sequence[Path]]) -> dict[Path, str]:
    """The captions of the images of several folders, from one file as `metadata.jsonl` or `metadata.csv` are.

    folders: the images of each root. A file name is relative to the folder of the image, or to that of `source`. Raises
    `InputError` if the file cannot be read or holds no captions, if an image has none, an empty one or two, and if an
    entry's image is in none of the folders, or in two.
    """
    if source.suffix not in (".jsonl", ".csv"):
        raise InputError(f"{source} must be a .jsonl or a .csv file with file_name and text for each image")
    places: dict[str, list[Path]] = {}
    for root, files in folders.items():
        for file in files:
            spellings = {file.relative_to(root).as_posix()}
            with suppress(ValueError):
                spellings.add(file.absolute().relative_to(source.absolute().parent).as_posix())
            for spelling in spellings:
                places.setdefault(spelling, []).append(file)
    found: dict[Path, str] = {}
    for place, name, text in _texts(source):
        named = places.get(name, [])
        if len(named) != 1:
            why = "no image" if not named else f"{len(named)} images, {' and '.join(str(file) for file in named[:2])}"
            remedy = "remove the entry" if not named else f"write the path from {source.parent} on"
            raise InputError(f"{place} has a caption for {_shown(name)}, which is {why} of {_names(folders)}; {remedy}")
        if named[0] in found:
            raise InputError(f"{place} has a second caption for {_shown(name)}; remove one")
        found[named[0]] = text
    missing = [file for files in folders.values() for file in files if not found.get(file)]
    if not found:
        raise InputError(f"{source} is empty; it must have file_name and text for each image")
    if missing:
        count = sum(map(len, folders.values()))
        raise InputError(
            f"{len(missing)} of the {count} images have no caption in {source}, or an empty one, the first of them "
            f"{missing[0]}; give each image one"
        )
    return found


def _names(folders: Iterable[Path]) -> str:
    return " and ".join(map(str, folders))


def _texts(source: Path) -> Iterator[tuple[str, str, str]]:
    """The place, the file name and the caption of each entry of a metadata file."""
    for place, entry in _entries(source):
        name, text = (entry.get(key) for key in ("file_name", "text"))
        if not isinstance(name, str) or not isinstance(text, str):
            raise InputError(f"{place} must have the texts file_name and text")
        yield place, name, _line(text, place)


def _listed(root: Path, source: Path, images: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """The image and the caption of each entry of a metadata file."""
    known, seen = {file.relative_to(root).as_posix(): file for file in images}, set()
    for place, name, text in _texts(source):
        if name not in known:
            raise InputError(f"{place} has a caption for {_shown(name)}, which is no image in {root}; remove the entry")
        if name in seen:
            raise InputError(f"{place} has a second caption for {_shown(name)}; remove one")
        seen.add(name)
        yield known[name], text


def _entries(source: Path) -> Iterator[tuple[str, dict[Any, Any]]]:
    """The place and the content of each entry of a metadata file."""
    content = _read(source, MAX_METADATA)
    if source.suffix == ".csv":
        rows = csv.DictReader(io.StringIO(content, newline=""), strict=True)
        try:
            missing = [key for key in ("file_name", "text") if key not in (rows.fieldnames or ())]
            if missing:
                raise InputError(f"{source} has no column {missing[0]}; its columns must include file_name and text")
            for row in rows:
                yield f"{source}, line {rows.line_num},", row
        except csv.Error as error:
            raise InputError(f"{source}, line {rows.line_num}, cannot be read as CSV ({error})") from None
        return
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{source}, line {number},"
        try:
            entry = parse_json(line)
        except ValueError as error:
            raise InputError(f"{place} cannot be read as JSON ({error})") from None
        if not isinstance(entry, dict):
            raise InputError(f"{place} must be an object with file_name and text")
        yield place, entry


def _text(file: Path) -> str:
    return _line(_read(file, MAX_FILE), str(file))


def _line(text: str, place: str) -> str:
    """A caption on one line; `InputError` if it is too long or has control codes."""
    line = " ".join(text.split())
    if len(line) > MAX_CAPTION:
        raise InputError(f"{place} has a caption of {len(line):,} characters; at most {MAX_CAPTION:,} are read")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in line):
        raise InputError(f"{place} has a caption with control codes; remove them")
    return line


def _read(file: Path, most: int) -> str:
    try:
        return read_text(file, most).removeprefix("\ufeff")
    except ValueError as error:  # also of bytes that are not UTF-8
        raise InputError(f"{file} cannot be read as UTF-8 text ({error})") from None


def _shown(name: str) -> str:
    return ascii(name[:200])
