"""Which files of a folder are images, and what else lies there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from leakfront.errors import InputError

# all endings that Pillow knows of the formats that are opened
PICTURES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".gif", ".tif", ".tiff"}
)  # fmt: skip
DICOM, NIFTI = frozenset({".dcm", ".dicom"}), frozenset({".nii", ".nii.gz"})
EXTENSIONS = PICTURES | DICOM | NIFTI
MAX_LOOKED = 10_000  # folders below the classes that are searched for images at the wrong level
_NAMED = 3  # files named in a sentence


@dataclass(frozen=True)
class Listing:
    """The image files of a folder, sorted, class by class; and what else lies beside them, by the reason.

    left_out: reason -> files, for hidden files, other endings, and what is no file.
    """

    root: Path
    files: tuple[Path, ...]
    left_out: dict[str, tuple[Path, ...]]

    @property
    def notes(self) -> list[str]:
        """A sentence without its end for each reason: "2 files are hidden and were left out (.a.png, .b.png)"."""
        return [
            f"{counted(len(paths), 'file is', 'files are')} {reason} and left out ({self._named(paths)})"
            for reason, paths in self.left_out.items()
        ]

    def without(self, read: Collection[Path]) -> Listing:
        """The same without files that are read for something else than an image, such as a caption."""
        rest = {reason: tuple(path for path in paths if path not in read) for reason, paths in self.left_out.items()}
        return replace(self, left_out={reason: paths for reason, paths in rest.items() if paths})

    def name(self, file: Path) -> str:
        """The name of a file below the folder."""
        return file.relative_to(self.root).as_posix()

    def _named(self, paths: tuple[Path, ...]) -> str:
        endings = Counter(ending(path) or "none" for path in paths)
        kinds = ", ".join(f"{printable(kind)}: {count}" for kind, count in endings.most_common(_NAMED))
        named = ", ".join(printable(self.name(path)) for path in paths[:_NAMED])
        more = f", … {kinds}" if len(paths) > _NAMED else ""
        return f"{named}{more}"


def list_folder(root: Path) -> Listing:
    """What lies in the folder `root` and in its sub-folders, which are classes. Links are followed.

    Raises `InputError` if `root` is no folder, has no images, or has them at two levels.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise InputError(f"{root} {what}; give a folder of images, or of sub-folders of images, one for each class")
    left_out: dict[str, list[Path]] = {}
    direct, folders = _entries(root, left_out)
    in_classes: list[Path] = []
    nested: list[Path] = []
    for folder in folders:
        inside, deeper = _entries(folder, left_out)
        in_classes += inside
        nested += deeper
    for below, _, names in islice(chain.from_iterable(map(os.walk, nested)), MAX_LOOKED):
        if any(ending(Path(name)) in EXTENSIONS for name in names):
            raise InputError(
                f"{below} holds images two levels below {root}; give the folder whose sub-folders are the classes"
            )
    if direct and in_classes:
        places = f"both in itself ({direct[0].name}) and in sub-folders ({in_classes[0].parent.name})"
        raise InputError(f"{root} has images {places}; put all of them into class sub-folders, or none")
    files = direct or in_classes
    listing = Listing(root, tuple(files), {reason: tuple(paths) for reason, paths in left_out.items()})
    if not files:
        others = f" ({'; '.join(listing.notes)})" if left_out else ""
        raise InputError(
            f"{root} has no images{others}: no {', '.join(sorted(EXTENSIONS))} files in itself or in its sub-folders"
        )
    return listing


def class_folders(listing: Listing) -> set[str]:
    """The names of the sub-folders that are classes; empty if the images lie in the folder itself."""
    return {file.parent.name for file in listing.files if file.parent != listing.root}


def class_of(file: Path, root: Path) -> str:
    """The class of a file of the folder `root`: its sub-folder, or "all"."""
    return "all" if file.parent == root else file.parent.name


def ending(file: Path) -> str:
    """The ending of a file's name in lower case; of a compressed NIfTI file both."""
    name = file.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else file.suffix.lower()


def printable(name: str) -> str:
    """A file's name for a sentence: unprintable characters are escaped as in Python."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


def counted(count: int, one: str, several: str) -> str:
    """ "1 file is", "2 files are"."""
    return f"{count:,} {one if count == 1 else several}"


def _entries(folder: Path, left_out: dict[str, list[Path]]) -> tuple[list[Path], list[Path]]:
    """Image files and folders directly in `folder`, by name. What is left out is added to `left_out`."""
    files, folders = [], []
    try:
        for entry in sorted(folder.iterdir()):
            if entry.name.startswith("."):
                left_out.setdefault("hidden", []).append(entry)
            elif entry.is_dir():
                folders.append(entry)
            elif ending(entry) not in EXTENSIONS:
                left_out.setdefault("of another ending", []).append(entry)
            elif entry.is_file() or not entry.exists():
                files.append(entry)  # with dead links, which then fail
            else:  # a pipe would block for ever
                left_out.setdefault("no regular file", []).append(entry)
    except OSError as error:
        place = error.filename or folder
        raise InputError(f"folder {folder} cannot be listed ({place}: {error.strerror}); make it readable") from error
    return files, folders
