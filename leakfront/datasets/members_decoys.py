"""Images with known membership: two folders state which of them a model was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from leakfront.datasets import DECOY, MEMBER, OUTSIDE, Dataset, LabelledImages, register
from leakfront.datasets.folder import MAX_HASHED, ImageFolder, Side, list_images
from leakfront.errors import InputError

_ROLES = {"members": MEMBER, "decoys": DECOY, "reference": OUTSIDE}


@register("members_decoys")
@dataclass(frozen=True)
class MembersDecoys(Dataset):
    """Two folders of images: `members`, which a model was trained on, and `decoys`, which it never saw.

    Decoys must come from the distribution of the members: attacks measure any other difference as leakage.
    reference: a folder of images that are neither, for FID and for attacks that query known non-members; None if there
    is none. The data set `folder` reads each of them, with `size`, `mode` and `skip_bad`. An image that is in both
    `members` and `decoys`, equal in every pixel, is refused. One that is in a folder twice counts once.
    """

    members: str
    decoys: str
    reference: str | None = None
    size: Side | None = None
    mode: Literal["grey", "rgb"] | None = None
    skip_bad: bool = False

    known_membership: ClassVar[bool] = True
    places: ClassVar[tuple[str, ...]] = ("members", "decoys", "reference")
    hashed: ClassVar[int | None] = MAX_HASHED

    @property
    def has_outside(self) -> bool:
        """Whether there is a reference."""
        return self.reference is not None

    def count(self) -> int:
        """The number of image files in `members` and `decoys`."""
        return len(self.found["members"]) + len(self.found["decoys"])

    def listed(self) -> dict[str, list[Path]]:
        """The image files of each folder."""
        return {place: list_images(root) for place, root in self.roots().items()}

    def load(self) -> LabelledImages:
        """All images with their roles; `InputError` names the folder or file that is not as it should be."""
        loaded = [
            (role, *self._folder(place).load_with_files(self.found[place]))
            for place, role in _ROLES.items()
            if place in self.found
        ]
        first, what = loaded[0][1], tuple(_ROLES)
        for (_, found, _), name in zip(loaded, what, strict=False):
            if found.images.shape[1:] != first.images.shape[1:]:
                raise InputError(
                    f"the images in members are {_size(first)} and those in {name} {_size(found)}; set "
                    "data.params.size and data.params.mode to bring all to one"
                )
        if (first.classes == ("all",)) != (loaded[1][1].classes == ("all",)):
            raise InputError(
                f"one of the folders {self.members} and {self.decoys} has sub-folders, which are classes, and the "
                "other has none; this alone would separate members from decoys, so use classes in both or in neither"
            )
        _refuse_shared(loaded[0][1:], loaded[1][1:])
        classes = sorted({name for _, found, _ in loaded for name in found.classes})
        number = {name: label for label, name in enumerate(classes)}
        return LabelledImages(
            images=np.concatenate([found.images for _, found, _ in loaded]),
            labels=np.concatenate(
                [np.array([number[name] for name in found.classes], np.int64)[found.labels] for _, found, _ in loaded]
            ),
            classes=tuple(classes),
            skipped=sum(found.skipped for _, found, _ in loaded),
            roles=np.concatenate([np.full(len(found), role, np.int8) for role, found, _ in loaded]),
        )

    def _folder(self, place: str) -> ImageFolder:
        return ImageFolder(getattr(self, place), self.size, self.mode, self.skip_bad)


def _refuse_shared(members: tuple[LabelledImages, list[Path]], decoys: tuple[LabelledImages, list[Path]]) -> None:
    """Raise `InputError` if an image is both member and decoy."""
    file_of = {image.tobytes(): file for image, file in zip(members[0].images, members[1], strict=True)}
    shared = [
        (file_of[pixels], file)
        for image, file in zip(decoys[0].images, decoys[1], strict=True)
        if (pixels := image.tobytes()) in file_of
    ]
    if shared:
        member, decoy = shared[0]
        others = f" (and {len(shared) - 1} more such pairs)" if len(shared) > 1 else ""
        raise InputError(
            f"{member} and {decoy} are the same image{others}, which cannot be both member and decoy; remove one"
        )


def _size(found: LabelledImages) -> str:
    channels, height, width = found.images.shape[1:]
    return f"{width}x{height} {'grey' if channels == 1 else 'RGB'}"
