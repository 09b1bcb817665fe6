"""Images with known membership: two folders state which of them a model was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from itertools import combinations
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from leakfront.datasets import DECOY, MEMBER, OUTSIDE, Dataset, LabelledImages, register, user_path
from leakfront.datasets.captions.of_files import captions_in
from leakfront.datasets.files.class_order import ClassOrder, numbered, order_question
from leakfront.datasets.files.decode import Orientation
from leakfront.datasets.files.facts import FileFacts
from leakfront.datasets.files.listing import class_folders
from leakfront.datasets.files.medical import Slice, Window
from leakfront.datasets.files.problems import each
from leakfront.datasets.files.subjects import Subjects
from leakfront.datasets.folder import MAX_HASHED, ImageFolder, Side
from leakfront.errors import InputError

_Loaded = tuple[str, LabelledImages, list[Path]]  # the name of the folder, its images and their files
_ROLES = {"members": MEMBER, "decoys": DECOY, "reference": OUTSIDE}


@register("members_decoys")
@dataclass(frozen=True)
class MembersDecoys(Dataset):
    """Two folders of images: `members`, which a model was trained on, and `decoys`, which it never saw.

    Decoys must come from the distribution of the members: attacks measure any other difference as leakage.
    reference: a folder of images that are neither, for FID and for attacks that query known non-members; None if there
    is none. The data set `folder` reads each of them, with the other parameters; classes are numbered over all of them.
    With `subjects`, nobody may be in both `members` and `decoys`, and as many members as decoys of each number of
    images are compared. An image that is in both `members` and `decoys`, equal in every pixel, is refused. One that is
    in a folder twice counts once. captions_file: one .jsonl or .csv file with the captions of all images (file_name,
    text), in place of those that `captions` finds in the folders; names are relative to the image's folder, or to that
    of the file.
    """

    members: str
    decoys: str
    reference: str | None = None
    size: Side | None = None
    mode: Literal["grey", "rgb"] | None = None
    skip_bad: bool = False
    orientation: Orientation | None = None
    class_order: ClassOrder | None = None
    window: Window | None = None
    slice: Slice | None = None
    captions: bool = False
    captions_file: str | None = None
    subjects: Subjects | None = None

    known_membership: ClassVar[bool] = True
    places: ClassVar[tuple[str, ...]] = ("members", "decoys", "reference", "captions_file")
    hashed: ClassVar[int | None] = MAX_HASHED

    def validate(self) -> None:
        if self.captions and self.captions_file is not None:
            raise InputError("data.params.captions and captions_file give captions twice; leave one out")

    @property
    def has_captions(self) -> bool:
        """Whether images have captions."""
        return self.captions or self.captions_file is not None

    @property
    def has_outside(self) -> bool:
        """Whether there is a reference."""
        return self.reference is not None

    def count(self) -> int:
        """The number of image files in `members` and `decoys`."""
        return sum(len(self.folders[name].listing.files) for name in ("members", "decoys"))

    def listed(self) -> dict[str, list[Path]]:
        """The image files of each folder, and those of their captions if these are read."""
        listed = each(partial(folder.listed) for folder in self.folders.values())
        found = {name: files["path"] for name, files in zip(self.folders, listed, strict=True)}
        return found | ({} if self.captions_file is None else {"captions_file": [user_path(self.captions_file)]})

    @cached_property
    def folders(self) -> dict[str, ImageFolder]:
        """The folders by name; each is listed once."""
        keys = ("size", "mode", "skip_bad", "orientation", "window", "slice", "captions", "subjects")
        shared = {key: getattr(self, key) for key in keys}
        named = {name: path for name in _ROLES if (path := getattr(self, name)) is not None}
        return {name: ImageFolder(path, class_order=self.class_order, **shared) for name, path in named.items()}

    def class_question(self) -> str:
        """Whether sorting the class folders by text and by number gives other classes."""
        if self.subjects == "folder":
            return ""
        names = {name for folder in self.folders.values() for name in class_folders(folder.listing)}
        return order_question(names) if self.class_order is None else ""

    def load(self) -> LabelledImages:
        """All images with their roles; `InputError` says all that is not as it should be, in all of the folders."""
        texts = [] if self.captions_file is None else [user_path(self.captions_file)]
        loaded = each(partial(_load, name, folder, *texts) for name, folder in self.folders.items())
        of_one_size = [partial(_require_one_size, loaded[0], other) for other in loaded[1:]]
        apart = partial(_refuse_shared, loaded[0], loaded[1])
        each(
            [
                *of_one_size,
                partial(self._require_classes_in_both, loaded),
                apart,
                partial(_refuse_shared_subjects, loaded),
            ]
        )
        parts = [found for _, found, _ in loaded]
        classes = numbered((name for found in parts for name in found.classes), self.class_order)
        number = {name: label for label, name in enumerate(classes)}
        return LabelledImages(
            images=np.concatenate([found.images for found in parts]),
            labels=np.concatenate(
                [np.array([number[name] for name in found.classes], np.int64)[found.labels] for found in parts]
            ),
            classes=classes,
            skipped=sum(found.skipped for found in parts),
            roles=np.concatenate([np.full(len(found), _ROLES[name], np.int8) for name, found, _ in loaded]),
            notes=tuple(f"{name}: {note}" for name, found, _ in loaded for note in found.notes),
            files=FileFacts.together([found.files for found in parts if found.files is not None]),
            captions=self._captions(loaded),
            subjects=tuple(who for found in parts for who in found.subjects or ()) if self.subjects else None,
        )

    def _captions(self, loaded: list[_Loaded]) -> tuple[str, ...] | None:
        """The captions of all images that were loaded."""
        if self.captions_file is None:
            return tuple(text for _, found, _ in loaded for text in found.captions or ()) if self.captions else None
        listed = {folder.listing.root: folder.listing.files for folder in self.folders.values()}
        texts = captions_in(user_path(self.captions_file), listed)
        return tuple(texts[file] for _, _, files in loaded for file in files)

    def _require_classes_in_both(self, loaded: list[_Loaded]) -> None:
        if (loaded[0][1].classes == ("all",)) != (loaded[1][1].classes == ("all",)):
            raise InputError(
                f"one of the folders {self.members} and {self.decoys} has sub-folders, which are classes, and the "
                "other has none; this alone would separate members from decoys, so use classes in both or in neither"
            )


def _load(name: str, folder: ImageFolder, *texts: Path) -> _Loaded:
    return name, *folder.load_with_files(*texts)


def _require_one_size(first: _Loaded, other: _Loaded) -> None:
    """Raise `InputError` if the images of two folders differ in size or mode."""
    if first[1].images.shape[1:] != other[1].images.shape[1:]:
        raise InputError(
            f"the images in {first[0]} are {_size(first[1])} and those in {other[0]} {_size(other[1])}; set "
            "data.params.size and data.params.mode to bring all to one"
        )


def _refuse_shared(members: _Loaded, decoys: _Loaded) -> None:
    """Raise `InputError` if an image is both member and decoy."""
    file_of = {image.tobytes(): file for image, file in zip(members[1].images, members[2], strict=True)}
    shared = [
        (file_of[pixels], file)
        for image, file in zip(decoys[1].images, decoys[2], strict=True)
        if (pixels := image.tobytes()) in file_of
    ]
    if shared:
        member, decoy = shared[0]
        others = f" (and {len(shared) - 1} more such pairs)" if len(shared) > 1 else ""
        raise InputError(
            f"{member} and {decoy} are the same image{others}, which cannot be both member and decoy; remove one"
        )


def _refuse_shared_subjects(loaded: list[_Loaded]) -> None:
    """Raise `InputError` if a subject has images in two of the folders: attacks learn from the reference, too."""
    for (one, first, _), (other, second, _) in combinations(loaded, 2):
        shared = sorted(set(first.subjects or ()) & set(second.subjects or ()))
        if shared:
            others = f" (and {len(shared) - 1} more)" if len(shared) > 1 else ""
            raise InputError(
                f"the subject {shared[0]!r}{others} has images in both {one} and {other}; move all images of a subject "
                "to one side, or remove them"
            )


def _size(found: LabelledImages) -> str:
    channels, height, width = found.images.shape[1:]
    return f"{width}x{height} {'grey' if channels == 1 else 'RGB'}"
