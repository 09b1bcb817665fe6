"""A folder of image files."""

import logging
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from leakfront.datasets import Dataset, LabelledImages, register, user_path
from leakfront.errors import InputError
from leakfront.memory import memory

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"})
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")  # the decoders that may run, whatever a file's extension
MAX_PIXELS = 50_000_000  # of one file; a larger one counts as a decompression bomb
MAX_HASHED = 256 * 2**20  # bytes of one file; uncompressed, 50 million RGB pixels take 150 million
MAX_SIDE = 4096  # pixels, of an image made by resizing
MAX_LOOKED = 10_000  # folders below the classes that are searched for images at the wrong level
MODES = {"grey": "L", "rgb": "RGB"}
Side = Annotated[int, Ge(1), Le(MAX_SIDE)]  # a parameter `size`
logging.getLogger("PIL").addHandler(logging.NullHandler())  # its messages on damaged files would go to the terminal


@register("folder")
@dataclass(frozen=True)
class ImageFolder(Dataset):
    """Image files in the sub-folders of `path`, one sub-folder a class; or directly in `path`, as one class.

    Reads PNG, JPEG, BMP, WebP, GIF (the first frame) and TIFF, chosen by their extension, in the order of their names.
    Hidden files are ignored, and so are links that lead out of the folder. Pixels are taken as stored: colour profiles
    and EXIF rotation are not applied. Palettes are resolved and opaque alpha channels dropped. Transparent pixels, 16
    bits per channel and CMYK are refused, since 8-bit RGB would change the image.

    size: pixels a side after cropping to the central square and resizing (antialiased, bicubic); None takes the images
    as they are, and all must then have one size. mode: "grey" or "rgb" converts all images; None expects one mode.
    skip_bad: leave out, and count, files that cannot be used and those not of the most frequent size and mode.
    """

    path: str
    size: Side | None = None
    mode: Literal["grey", "rgb"] | None = None
    skip_bad: bool = False

    places: ClassVar[tuple[str, ...]] = ("path",)
    hashed: ClassVar[int | None] = MAX_HASHED

    def listed(self) -> dict[str, list[Path]]:
        """The image files."""
        return {"path": list_images(user_path(self.path))}

    def load(self) -> LabelledImages:
        """All images; `InputError` names the folder or file that is not as it should be."""
        return self.load_with_files(self.found["path"])[0]

    def load_with_files(self, files: Sequence[Path]) -> tuple[LabelledImages, list[Path]]:
        """The images in files of the folder, as `load` returns them, and the file of each."""
        root = user_path(self.path)
        room = memory() // 2  # the images are in memory one by one, and then as one array
        images: dict[Path, np.ndarray] = {}
        failure: InputError | None = None
        for file in files:
            try:
                images[file] = pixels = self._pixels(file)
                room -= pixels.nbytes
                if room < 0:
                    break
                if not self.skip_bad:
                    _require_alike(next(iter(images.items())), (file, pixels))
            except InputError as error:
                if not self.skip_bad:
                    raise
                failure = failure or error
        if room < 0:
            raise InputError(
                f"the {len(files)} images in {root} take more than half the {memory() / 2**30:,.1f} GiB that this "
                "process may use; set size to make them smaller"
            )
        if not images:
            raise InputError(f"none of the {len(files)} images in {root} can be used: {failure}")
        commonest = Counter(pixels.shape for pixels in images.values()).most_common(1)[0][0]
        kept = [file for file, pixels in images.items() if pixels.shape == commonest]
        classes = sorted({_class_of(file, root) for file in kept})
        number = {name: label for label, name in enumerate(classes)}
        found = LabelledImages(
            images=np.stack([images[file] for file in kept]),
            labels=np.array([number[_class_of(file, root)] for file in kept], dtype=np.int64),
            classes=tuple(classes),
            skipped=len(files) - len(kept),
        )
        return found, kept

    def _pixels(self, file: Path) -> np.ndarray:
        """The image in `file` as uint8 [C, H, W], converted to `mode` and `size`."""
        image = decode(file)
        if self.mode is not None:
            image = image.convert(MODES[self.mode])
        if self.size is not None and image.size != (self.size, self.size):
            side = min(image.size)
            image = ImageOps.fit(image, (side, side))  # crops only: a resize with it would mix in pixels from outside
            image = image.resize((self.size, self.size), Image.Resampling.BICUBIC)
        pixels = np.asarray(image)
        return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def list_images(root: Path) -> list[Path]:
    """The image files of the folder `root`, sorted, class by class; `InputError` if `root` is no such folder."""
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise InputError(f"{root} {what}; give a folder of images, or of sub-folders of images, one for each class")
    home = root.resolve()
    direct, folders, outside = _entries(root, home)
    in_classes: list[Path] = []
    nested: list[Path] = []
    for folder in folders:
        inside, deeper, left_out = _entries(folder, home)
        in_classes += inside
        outside += left_out
        nested += deeper
    for below, _, names in islice(chain.from_iterable(map(os.walk, nested)), MAX_LOOKED):
        if any(Path(name).suffix.lower() in EXTENSIONS for name in names):
            raise InputError(
                f"{below} holds images two levels below {root}; give the folder whose sub-folders are the classes"
            )
    if direct and in_classes:
        places = f"both in itself ({direct[0].name}) and in sub-folders ({in_classes[0].parent.name})"
        raise InputError(f"{root} has images {places}; put all of them into class sub-folders, or none")
    if not direct and not in_classes:
        links = f" ({outside} links out of the folder were not followed)" if outside else ""
        raise InputError(
            f"{root} has no images{links}: no {', '.join(sorted(EXTENSIONS))} files in itself or in its sub-folders"
        )
    return direct or in_classes


def class_folders(root: Path) -> set[str]:
    """The names of the sub-folders of `root` that are classes; empty if the images lie in `root` itself."""
    return {file.parent.name for file in list_images(root) if file.parent != root}


def decode(file: Path) -> Image.Image:
    """The image in `file` as 8-bit grey ("L") or RGB; `InputError` if the conversion would change it."""
    if file.exists() and not file.is_file():
        raise InputError(f"{file} is not a regular file; leave it out")  # a pipe would block for ever
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MAX_PIXELS is stricter than Pillow's own limit
            with Image.open(file, formats=FORMATS) as image:
                _require_plain(file, image)
                image.load()
                return _without_alpha_and_palette(file, image)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"{file} is no image that can be read; expected {', '.join(FORMATS)}") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        cause = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise InputError(f"{file} is damaged or cannot be read ({cause}); replace it, or leave it out") from error


def _without_alpha_and_palette(file: Path, image: Image.Image) -> Image.Image:
    """The same pixels in mode "L" or "RGB"; `InputError` if some are transparent."""
    mode = image.mode
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if np.asarray(image)[..., 3].min() < 255:
            raise InputError(f"{file} has transparent pixels; put it onto a background first")
    rgb = image.convert("RGB")
    red, green, blue = rgb.split()
    if mode == "P" and red.tobytes() == green.tobytes() == blue.tobytes():
        return red  # grey levels stored as a palette, as in GIF
    return image.convert("L") if mode in ("1", "L", "LA") else rgb


def _require_plain(file: Path, image: ImageFile.ImageFile) -> None:
    """Refuse, before decoding, an image that is too large or not 8-bit grey, palette or RGB."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(f"{file} has {width}x{height} pixels; at most {MAX_PIXELS:,} are read, so make it smaller")
    stored = image.tile[0][3] if image.tile else None
    stored = stored[0] if isinstance(stored, tuple) and stored else stored
    if image.mode.startswith(("I", "F")) or (isinstance(stored, str) and ";16" in stored):
        raise InputError(f"{file} has more than 8 bits per channel ({stored or image.mode}); save it with 8 bits")
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        raise InputError(f"{file} has the colour mode {image.mode}; convert it to grey or RGB first")


def _require_alike(first: tuple[Path, np.ndarray], other: tuple[Path, np.ndarray]) -> None:
    """Refuse two images of different size or mode; the error names both and the setting that makes them alike."""
    a, (channels_a, height_a, width_a) = first[0], first[1].shape
    b, (channels_b, height_b, width_b) = other[0], other[1].shape
    if (height_a, width_a) != (height_b, width_b):
        sizes = f"{a} has {width_a}x{height_a} pixels and {b} {width_b}x{height_b}"
        raise InputError(f"{sizes}: set size to bring all images to one size")
    if channels_a != channels_b:
        names = {1: "grey", 3: "RGB"}
        modes = f"{a} is {names[channels_a]} and {b} {names[channels_b]}"
        raise InputError(f"{modes}: set mode to 'grey' or 'rgb' to convert all images")


def _class_of(file: Path, root: Path) -> str:
    return "all" if file.parent == root else file.parent.name


def _entries(folder: Path, home: Path) -> tuple[list[Path], list[Path], int]:
    """Image files and folders directly in `folder`, by name, and the number of ignored links out of `home`."""
    files, folders, outside = [], [], 0
    try:
        for entry in sorted(folder.iterdir()):
            if entry.name.startswith("."):
                continue
            if entry.is_symlink() and not Path(os.path.realpath(entry)).is_relative_to(home):
                outside += 1
            elif entry.is_dir():
                folders.append(entry)
            elif entry.suffix.lower() in EXTENSIONS and (entry.is_file() or not entry.exists()):
                files.append(entry)  # with dead links, which then fail; without pipes, which would block for ever
    except OSError as error:
        place = error.filename or folder
        raise InputError(f"folder {folder} cannot be listed ({place}: {error.strerror}); make it readable") from error
    return files, folders, outside
