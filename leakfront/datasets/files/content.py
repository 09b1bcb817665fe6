"""What the image files of one folder hold, and what is wrong with them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from leakfront.datasets.files.decode import Picture
from leakfront.datasets.files.facts import Facts
from leakfront.datasets.files.listing import Listing, counted, printable
from leakfront.datasets.files.problems import Problems
from leakfront.errors import InputError


@dataclass
class Content:
    """What the files of a folder hold.

    pixels: uint8 [C, H, W]. bad: faults of single files. unsaid: what a setting must say before any file is used.
    """

    listing: Listing
    pixels: dict[Path, np.ndarray] = field(default_factory=dict)
    facts: dict[Path, Facts] = field(default_factory=dict)
    deep: list[Path] = field(default_factory=list)
    bad: Problems = field(default_factory=Problems)
    unsaid: Problems = field(default_factory=Problems)

    def add(self, file: Path, picture: Picture, pixels: np.ndarray, turned: bool) -> None:
        """Take a file that was read. turned: whether it is turned by EXIF, and no setting says what to do."""
        first = next(iter(self.pixels), file)
        self.pixels[file], self.facts[file] = pixels, picture.facts
        if picture.deep:
            self.deep.append(file)
        if turned:
            self.unsaid.add("orientation", (
                f"{file} is turned by its EXIF orientation, {picture.orientation}: set data.params.orientation to "
                '"apply" if the model was trained on upright images, or to "as_stored"'
            ))  # fmt: skip
        for kind, sentence in _unlike((first, self.pixels[first]), (file, pixels)):
            self.bad.add(kind, sentence)

    def usable(self, skip_bad: bool) -> list[Path]:
        """The files to use, in order; `InputError` with a sentence for each kind of fault, unless it is skipped."""
        faults = self.bad.sentences()
        if found := [*([] if skip_bad else faults), *self.unsaid.sentences()]:
            raise InputError(*found)
        if not self.pixels:
            raise InputError(
                f"none of the {len(self.listing.files)} images in {self.listing.root} can be used: {faults[0]}"
            )
        commonest = Counter(pixels.shape for pixels in self.pixels.values()).most_common(1)[0][0]
        return [file for file, pixels in self.pixels.items() if pixels.shape == commonest]

    def notes(self, skipped: int, used: list[Path]) -> list[str]:
        """What was skipped, and what was scaled; a sentence each, without its end."""
        kept, notes = set(used), []
        if skipped:
            others = [file for file in self.listing.files if file not in kept]
            named = ", ".join(printable(self.listing.name(file)) for file in others[:3]) + (
                ", …" if len(others) > 3 else ""
            )
            notes.append(
                f"{counted(skipped, 'image', 'images')} could not be used and {_was(skipped)} skipped ({named})"
            )
        deep = [file for file in self.deep if file in kept]
        if deep:
            brightest = max(int(self.pixels[file].max()) for file in deep)
            notes.append(
                f"{counted(len(deep), 'image has', 'images have')} 16 bits per channel; the upper 8 were taken (the "
                f"brightest pixel became {brightest} of 255)"
            )
        return notes


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _unlike(first: tuple[Path, np.ndarray], other: tuple[Path, np.ndarray]) -> list[tuple[str, str]]:
    """How two images differ in size and mode: the kind of fault, and both files with the setting that helps."""
    a, (channels_a, height_a, width_a) = first[0], first[1].shape
    b, (channels_b, height_b, width_b) = other[0], other[1].shape
    found = []
    if (height_a, width_a) != (height_b, width_b):
        sizes = f"{a} has {width_a}x{height_a} pixels and {b} {width_b}x{height_b}"
        found.append(("size", f"{sizes}: set data.params.size to bring all images to one size"))
    if channels_a != channels_b:
        names = {1: "grey", 3: "RGB"}
        modes = f"{a} is {names[channels_a]} and {b} {names[channels_b]}"
        found.append(("mode", f"{modes}: set data.params.mode to 'grey' or 'rgb' to convert all images"))
    return found
