"""A folder of image files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le
from PIL import Image, ImageOps

from leakfront.datasets import Dataset, LabelledImages, register, user_path
from leakfront.datasets.captions.of_files import caption_files, captions_of
from leakfront.datasets.files.class_order import ClassOrder, numbered
from leakfront.datasets.files.content import Content
from leakfront.datasets.files.decode import Orientation, Picture, decode
from leakfront.datasets.files.facts import FileFacts
from leakfront.datasets.files.listing import Listing, class_of, list_folder
from leakfront.datasets.files.medical import Slice, View, Window, decode_medical, is_medical
from leakfront.datasets.files.problems import UnsaidError
from leakfront.datasets.files.subjects import Subjects, metadata_file, subjects_of
from leakfront.errors import InputError
from leakfront.memory import memory

MAX_HASHED = 256 * 2**20  # bytes of one file; uncompressed, 50 million RGB pixels take 150 million
MAX_SIDE = 4096  # pixels, of an image made by resizing
MODES = {"grey": "L", "rgb": "RGB"}
Side = Annotated[int, Ge(1), Le(MAX_SIDE)]  # a parameter `size`


@register("folder")
@dataclass(frozen=True)
class ImageFolder(Dataset):
    """Image files in the sub-folders of `path`, one sub-folder a class; or directly in `path`, as one class.

    Reads PNG, JPEG, BMP, WebP, GIF (the first frame) and TIFF, chosen by all endings that Pillow knows of them, in the
    order of their names; and by the extra `medical` DICOM and NIfTI. Links are followed. Hidden files and others are
    left out, counted and named. Of 16 bits per channel the upper 8 are taken, which is said. Colour profiles are not
    applied. Palettes are resolved and opaque alpha channels dropped. Transparent pixels, CMYK, 32 bits and floating
    point are refused, since 8-bit RGB would change the image.

    size: pixels a side after cropping to the central square and resizing (antialiased, bicubic); None takes the images
    as they are, and all must then have one size. mode: "grey" or "rgb" converts all images; None expects one mode.
    skip_bad: leave out, count and name files that cannot be used and those not of the most frequent size and mode.
    orientation: whether pictures that EXIF data call turned are turned upright ("apply") or taken "as_stored"; None
    refuses them. class_order: how class folders are numbered, "text" (1, 10, 2; also None), "numeric" (1, 2, 10), or
    the list of their names. window: [centre, width] of the values of DICOM and NIfTI files that become 0 … 255, or
    "stored" for DICOM's own. slice: which slice of a volume, from 0, or "middle".
    subjects: who each image shows, where several images show one: "folder" (the sub-folder, which then is no class),
    "column:NAME" of metadata.csv or metadata.jsonl, or "regex:PATTERN" (its first group in the file's name below
    `path`).
    captions: read a caption for each image from metadata.jsonl or metadata.csv in `path` (file_name, text), or from
    NAME.txt beside NAME.png. An image without one is refused.
    """

    path: str
    size: Side | None = None
    mode: Literal["grey", "rgb"] | None = None
    skip_bad: bool = False
    orientation: Orientation | None = None
    class_order: ClassOrder | None = None
    window: Window | None = None
    slice: Slice | None = None
    captions: bool = False
    subjects: Subjects | None = None

    places: ClassVar[tuple[str, ...]] = ("path",)
    hashed: ClassVar[int | None] = MAX_HASHED

    @cached_property
    def listing(self) -> Listing:
        """What lies in the folder, listed once; raises `InputError` as `list_folder` does."""
        return list_folder(user_path(self.path))

    @property
    def has_captions(self) -> bool:
        return self.captions

    def listed(self) -> dict[str, list[Path]]:
        """The image files, and those of their captions if these are read."""
        images = list(self.listing.files)
        texts = caption_files(self.listing.root, images) if self.captions else []
        named = metadata_file(self.subjects, self.listing.root) if self.subjects else None
        return {"path": [*images, *texts, *([named] if named is not None and named not in texts else [])]}

    def load(self) -> LabelledImages:
        """All images; `InputError` says all that is not as it should be, with the first file of each kind."""
        return self.load_with_files()[0]

    def load_with_files(self, *more: Path) -> tuple[LabelledImages, list[Path]]:
        """All images, as `load` returns them, and the file of each; more: files that others read."""
        listing = self.listing
        root = listing.root
        texts = dict(zip(listing.files, captions_of(root, listing.files), strict=True)) if self.captions else None
        read = self._read(listing)
        files = read.usable(self.skip_bad)
        of_class = {file: "all" if self.subjects == "folder" else class_of(file, root) for file in files}
        classes = numbered(of_class.values(), self.class_order)
        number = {name: label for label, name in enumerate(classes)}
        skipped = len(listing.files) - len(files)
        found = LabelledImages(
            images=np.stack([read.pixels[file] for file in files]),
            labels=np.array([number[of_class[file]] for file in files], dtype=np.int64),
            classes=classes,
            skipped=skipped,
            notes=(*listing.without({*self.listed()["path"], *more}).notes, *read.notes(skipped, files)),
            files=FileFacts.of([listing.name(file) for file in files], [read.facts[file] for file in files]),
            captions=None if texts is None else tuple(texts[file] for file in files),
            subjects=None if self.subjects is None else subjects_of(self.subjects, root, files),
        )
        return found, files

    def _read(self, listing: Listing) -> Content:
        """What is in the files; raises `InputError` if memory cannot hold it."""
        read, room = Content(listing), memory() // 2  # the images are in memory one by one, and then as one array
        for file in listing.files:
            try:
                picture = self._picture(file)
                pixels = self._pixels(picture.image)
            except UnsaidError as error:
                read.unsaid.add("view", str(error))
                continue
            except InputError as error:
                read.bad.add("unreadable", str(error))
                continue
            room -= pixels.nbytes
            if room < 0:
                raise InputError(
                    f"the {len(listing.files)} images in {listing.root} take more than half the "
                    f"{memory() / 2**30:,.1f} GiB that this process may use; set data.params.size to make them smaller"
                )
            read.add(file, picture, pixels, turned=picture.orientation != 1 and self.orientation is None)
        return read

    def _picture(self, file: Path) -> Picture:
        if is_medical(file):
            return decode_medical(file, View(self.window, self.slice))
        return decode(file, self.orientation or "as_stored")

    def _pixels(self, image: Image.Image) -> np.ndarray:
        """The image as uint8 [C, H, W], converted to `mode` and `size`."""
        if self.mode is not None:
            image = image.convert(MODES[self.mode])
        if self.size is not None and image.size != (self.size, self.size):
            side = min(image.size)
            image = ImageOps.fit(image, (side, side))  # crops only: a resize with it would mix in pixels from outside
            image = image.resize((self.size, self.size), Image.Resampling.BICUBIC)
        pixels = np.asarray(image)
        return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))
