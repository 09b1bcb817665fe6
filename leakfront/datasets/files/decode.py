"""From a file of one of six formats to an 8-bit picture."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from leakfront.datasets.files.facts import Facts
from leakfront.datasets.files.picture_facts import exif_of, facts_of_picture
from leakfront.errors import InputError

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")  # the decoders that may run, whatever a file's ending
MAX_PIXELS = 50_000_000  # of one file; a larger one counts as a decompression bomb
_ORIENTATION = 0x0112  # the EXIF tag
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_UNDO = {**_TURN, 6: _TURN[8], 8: _TURN[6]}
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
_GREY_16 = ("I;16", "I;16B", "I;16L", "I;16N")  # as files store them
Orientation = Literal["apply", "as_stored"]
logging.getLogger("PIL").addHandler(logging.NullHandler())  # its messages on damaged files would go to the terminal


@dataclass(frozen=True)
class Picture:
    """A decoded file.

    image: 8-bit grey ("L") or RGB. facts: of the file. orientation: by EXIF, 1 to 8, where 1 is upright. deep: whether
    it had 16 bits per channel, of which the upper 8 were taken.
    """

    image: Image.Image
    facts: Facts
    orientation: int = 1
    deep: bool = False


def decode(file: Path, orientation: Orientation = "as_stored") -> Picture:
    """The picture in `file`, turned upright if `orientation` is "apply".

    Of 16 bits per channel the upper 8 are taken. Raises `InputError` if the conversion to 8-bit grey or RGB would
    change the picture in another way, and for damaged files.
    """
    if file.exists() and not file.is_file():
        raise InputError(f"{file} is not a regular file; leave it out")  # a pipe would block for ever
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MAX_PIXELS is stricter than Pillow's own limit
            with Image.open(file, formats=FORMATS) as image:
                return _decoded(file, image, orientation)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"{file} is no image that can be read; expected {', '.join(FORMATS)}") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        cause = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise InputError(f"{file} is damaged or cannot be read ({cause}); replace it, or leave it out") from error


def _decoded(file: Path, image: ImageFile.ImageFile, wanted: Orientation) -> Picture:
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a camera's JPEG whose other pictures are previews
        raise InputError(f"{file} has {frames} pages or frames; save the one that you mean as a file of its own")
    stored = _stored_mode(image)
    _require_plain(file, image, stored)
    # TIFF's tags go when the pixels are loaded, and PNG's may follow the pixels
    before = exif_of(image).get(_ORIENTATION) if image.format == "TIFF" else None
    white_is_zero = getattr(image, "tag_v2", {}).get(262) == 0
    image.load()
    after = exif_of(image).get(_ORIENTATION)
    turned = before in _TURN and after != before  # Pillow turns TIFF itself
    facts = facts_of_picture(file, image, stored)
    plain = _eight_bits(file, image, white_is_zero) if image.mode.startswith("I") else _plain(file, image, stored)
    orientation = before if before in _TURN else after if after in _TURN else 1
    if wanted == "apply" and orientation in _TURN and not turned:
        plain = plain.transpose(_TURN[orientation])
    if wanted == "as_stored" and turned:
        plain = plain.transpose(_UNDO[orientation])
    return Picture(plain, facts, orientation, deep=";16" in stored)


def _eight_bits(file: Path, image: Image.Image, white_is_zero: bool) -> Image.Image:
    """The upper 8 of the 16 bits of a grey picture; `InputError` if some of its pixels are transparent."""
    values = np.asarray(image).astype(np.int64)
    if (key := image.info.get("transparency")) is not None and (values == key).any():
        raise InputError(f"{file} has transparent pixels; put it onto a background first")
    upper = (values >> 8).astype(np.uint8)
    return Image.fromarray(255 - upper if white_is_zero else upper)


def _plain(file: Path, image: Image.Image, stored: str) -> Image.Image:
    """The same pixels in mode "L" or "RGB"; `InputError` if some are transparent."""
    mode = image.mode
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if np.asarray(image)[..., 3].min() < 255:
            raise InputError(f"{file} has transparent pixels; put it onto a background first")
    rgb = image.convert("RGB")
    red, green, blue = rgb.split()
    palette_of_greys = mode == "P" and red.tobytes() == green.tobytes() == blue.tobytes()  # as in GIF
    if palette_of_greys or stored.startswith("LA;16"):  # which Pillow reads as colour
        return red
    return image.convert("L") if mode in ("1", "L", "LA") else rgb


def _stored_mode(image: ImageFile.ImageFile) -> str:
    """How the file stores its pixels, in Pillow's words: "L", "RGB;16B"."""
    stored = image.tile[0][3] if image.tile else None
    stored = stored[0] if isinstance(stored, tuple) and stored else stored
    return stored if isinstance(stored, str) and stored else image.mode


def _require_plain(file: Path, image: ImageFile.ImageFile, stored: str) -> None:
    """Refuse, before decoding, an image that is too large or not grey, palette or RGB of 8 or 16 bits."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(f"{file} has {width}x{height} pixels; at most {MAX_PIXELS:,} are read, so make it smaller")
    if image.mode.startswith(("I", "F")) and stored not in _GREY_16:
        raise InputError(f"{file} stores its pixels as {stored}, not as 8 or 16 bits; save it with 8 bits")
    if image.mode not in _MODES and not image.mode.startswith("I"):
        raise InputError(f"{file} has the colour mode {image.mode}; convert it to grey or RGB first")
