"""Hostile folders of images, and what must happen to each file."""

from __future__ import annotations

import io
import os
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tomli_w
from hypothesis import strategies as st
from PIL import Image

from tests.containment import attempt
from tests.small_config import small

# read as 8x8 grey; refused or skipped; not taken for an image; one of the first two, depending on the decoder; or
# refused until a setting says how to read it
Fate = Literal["fine", "bad", "ignored", "either", "unsaid"]
SIDE = 8
GOOD = 150  # good images in addition to the hostile ones: enough for a pool and a reference


def pixels(seed: int = 0, side: int = SIDE) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8))


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    width: int, height: int, data: bytes, *extra: bytes, bits: int = 8, colour: int = 0, interlaced: int = 0
) -> bytes:
    """A PNG with any header, and with `extra` chunks before the filtered rows `data`."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


ROWS = b"".join(b"\0" + bytes(range(row, row + 8)) for row in range(8))
# Adam7 on 8x8: passes of 1x1, 1x1, 2x1, 2x2, 4x2, 4x4, 8x4 pixels
ADAM7 = b"".join(
    (b"\0" + b"\x80" * width) * height for width, height in ((1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4))
)


def tiff(*tags: tuple[int, int, int, int], following: int = 0) -> bytes:
    """A TIFF of one directory with these entries (tag, type, count, value), valid or not."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", following) + b"\0" * 64


def bmp(width: int, height: int, compression: int = 0) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 14 + 40 + 1024 + 64, 0, 0, 14 + 40 + 1024) + header + b"\0" * (1024 + 64)


def gif(width: int, height: int) -> bytes:
    size = struct.pack("<HH", width, height)
    return b"GIF89a" + size + b"\x80\0\0" + b"\0\0\0\xff\xff\xff" + b",\0\0\0\0" + size + b"\0\x02\x02\x44\x01\0;"


def jpeg_of(width: int, height: int) -> bytes:
    """A grey JPEG of 8x8 pixels whose header states another size."""
    content = bytearray(encoded(pixels(), "JPEG"))
    start = content.index(b"\xff\xc0") + 5
    content[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(content)


FRAMES = [pixels(seed) for seed in (1, 2, 3)]
ROTATED = Image.Exif()
ROTATED[0x0112] = 6
BOMB = zlib.compress(b"\0" * 100_000_000, 9)
RGB = pixels().convert("RGB")
SQUARE = [
    (256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 40), (279, 4, 1, 64),
]  # fmt: skip

CONTENTS: dict[str, tuple[Fate, str, Callable[[], bytes]]] = {
    "png": ("fine", ".png", lambda: encoded(pixels(), "PNG")),
    "upper case": ("fine", ".PNG", lambda: encoded(pixels(), "PNG")),
    "interlaced": ("fine", ".png", lambda: png(8, 8, ADAM7, interlaced=1)),
    "one bit": ("fine", ".png", lambda: encoded(pixels().convert("1"), "PNG")),
    "palette of greys": ("fine", ".gif", lambda: encoded(pixels(), "GIF")),
    "progressive": ("fine", ".jpg", lambda: encoded(pixels(), "JPEG", progressive=True)),
    "rotated by EXIF": ("unsaid", ".jpeg", lambda: encoded(pixels(), "JPEG", exif=ROTATED.tobytes())),
    "jpeg called png": ("fine", ".png", lambda: encoded(pixels(), "JPEG")),
    "png called tiff": ("fine", ".tiff", lambda: encoded(pixels(), "PNG")),
    "animated gif": ("bad", ".gif", lambda: encoded(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:])),
    "animated png": ("bad", ".png", lambda: encoded(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:])),
    "pages": ("bad", ".tif", lambda: encoded(FRAMES[0], "TIFF", save_all=True, append_images=FRAMES[1:])),
    "bomb behind the pixels": ("fine", ".png", lambda: png(8, 8, ROWS + b"\0" * 100_000_000)),
    "animated webp": ("bad", ".webp", lambda: encoded(RGB, "WEBP", save_all=True, append_images=[RGB.rotate(90)])),
    "text for a picture": ("bad", ".png", lambda: b"not an image"),
    "nothing": ("bad", ".png", lambda: b""),
    "cut png": ("bad", ".png", lambda: encoded(pixels(side=64), "PNG")[:900]),
    "cut jpeg": ("bad", ".jpg", lambda: encoded(pixels(side=64), "JPEG")[:900]),
    "signature": ("bad", ".png", lambda: b"\x89PNG\r\n\x1a\n"),
    "one pixel": ("bad", ".png", lambda: png(1, 1, b"\0\0")),
    "one row": ("bad", ".png", lambda: png(20_000, 1, b"\0" * 20_001)),
    "20,000 pixels": ("bad", ".png", lambda: png(20_000, 20_000, b"\0" * 20_001 * 100)),
    "nearly too large": ("bad", ".png", lambda: png(7_000, 7_000, b"\0" * 7_001 * 7_000)),
    "nearly too large, in colour": ("bad", ".png", lambda: png(7_000, 7_000, b"\0" * 28_001 * 7_000, colour=6)),
    "nearly too large, cut": ("bad", ".png", lambda: png(7_000, 7_000, b"\0", colour=6)),
    "no pixel": ("bad", ".png", lambda: png(0, 0, b"")),
    "most pixels": ("bad", ".png", lambda: png(2**31 - 1, 2**31 - 1, b"")),
    "false header jpeg": ("bad", ".jpg", lambda: jpeg_of(65_500, 65_500)),
    "false header jpeg, allowed": ("bad", ".jpg", lambda: jpeg_of(7_000, 7_000)),
    "false header gif": ("bad", ".gif", lambda: gif(65_535, 65_535)),
    "false header gif, allowed": ("bad", ".gif", lambda: gif(7_000, 7_000)),
    "false header bmp": ("bad", ".bmp", lambda: bmp(2**31 - 1, 2**31 - 1)),
    "negative bmp": ("bad", ".bmp", lambda: bmp(-8, -8)),
    "run-length bmp": ("bad", ".bmp", lambda: bmp(7_000, 7_000, compression=1)),
    "16 bits": ("fine", ".png", lambda: encoded(Image.fromarray(np.zeros((8, 8), np.uint16)), "PNG")),
    "16 bits in colour": ("bad", ".png", lambda: png(8, 8, b"\0" * 49 * 8, bits=16, colour=2)),
    "CMYK": ("bad", ".jpg", lambda: encoded(Image.new("CMYK", (8, 8)), "JPEG")),
    "alpha": ("bad", ".png", lambda: encoded(Image.new("RGBA", (8, 8), (1, 2, 3, 4)), "PNG")),
    "colour": ("bad", ".png", lambda: encoded(RGB.point(range(768)), "PNG")),
    "palette": (
        "bad",
        ".png",
        lambda: encoded(Image.effect_noise((8, 8), 90).convert("RGB").rotate(9, fillcolor="red").quantize(), "PNG"),
    ),
    "float": ("bad", ".tif", lambda: encoded(Image.fromarray(np.zeros((8, 8), np.float32)), "TIFF")),
    "text bomb": ("bad", ".png", lambda: png(8, 8, ROWS, chunk(b"zTXt", b"a\0\0" + BOMB))),
    "profile bomb": ("either", ".png", lambda: png(8, 8, ROWS, chunk(b"iCCP", b"a\0\0" + BOMB))),
    "unicode text bomb": ("either", ".png", lambda: png(8, 8, ROWS, chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB))),
    "long text": ("either", ".png", lambda: png(8, 8, ROWS, *[chunk(b"tEXt", b"a\0" + b"b" * 1_000_000)] * 80)),
    "false checksum": ("bad", ".png", lambda: encoded(pixels(), "PNG").replace(b"IDAT", b"IDAX")),
    "tiff": ("fine", ".tif", lambda: tiff(*SQUARE)),
    "looping tiff": ("either", ".tif", lambda: tiff(*SQUARE, following=8)),
    "tiff of many strips": ("either", ".tif", lambda: tiff(*SQUARE[:5], (273, 4, 2**31, 40), (279, 4, 2**31, 64))),
    "tiff of many samples": ("bad", ".tif", lambda: tiff(*SQUARE, (277, 3, 1, 65_535))),
    "tiff with a false tag": ("bad", ".tif", lambda: tiff(*SQUARE[2:], (256, 2, 2**32 - 1, 0), (257, 4, 1, 2**32 - 1))),
    "large tiff": ("bad", ".tif", lambda: tiff((256, 4, 1, 2**31), (257, 4, 1, 2**31), *SQUARE[2:])),
    "pdf": ("bad", ".png", lambda: b"%PDF-1.4\n"),
    "postscript": ("bad", ".png", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"),
    "icon": ("bad", ".png", lambda: encoded(pixels(), "ICO")),
    "portable": ("bad", ".bmp", lambda: encoded(pixels(), "PPM")),
    "html": ("bad", ".webp", lambda: b"<html><script>alert(1)</script>"),
    "riff": ("bad", ".webp", lambda: b"RIFF\xff\xff\xff\xffWEBPVP8X\n\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff"),
    "pickle": ("bad", ".png", lambda: b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x02os\x94."),
    "no extension": ("ignored", "", lambda: encoded(pixels(), "PNG")),
    "text": ("ignored", ".txt", lambda: b"text"),
}

NAMES = (
    b"a", b"\n", b"a\nerror: b", b"..", b"...", b"-rf", b"--", b"~", b" ", b"\x1b[31mred", b"\x07", b"\xff\xfe",
    b"caf\xe9", "防御".encode(), "\u202egnp".encode(), "e\u0301".encode(), b"'", b'"', b"$(id)", b"`id`", b"%s",
    b"{{ 7 * 7 }}", b"<script>", b"a" * 240, b"CON", b"*", b"?", b"\\", b"a;b", b"a\tb", b"\x7f",
)  # fmt: skip


@dataclass(frozen=True)
class File:
    """A file of the folder: the beginning of its name, and the kind of its content."""

    name: bytes
    content: str

    @property
    def fate(self) -> Fate:
        if self.name.startswith(b"."):
            return "ignored"
        if self.content in SPECIAL:
            return SPECIAL[self.content]
        return CONTENTS[self.content][0]

    def write(self, folder: Path, number: int) -> str:
        """Write the file into `folder`, and return its name."""
        suffix = ".png" if self.content in SPECIAL else CONTENTS[self.content][1]
        name = os.fsdecode(self.name + b"%d" % number) + suffix
        path = folder / name
        if self.content == "pipe":
            os.mkfifo(path)
        elif self.content == "dead link":
            path.symlink_to("nowhere")
        elif self.content == "link to itself":
            path.symlink_to(name)
        elif self.content == "link outside":
            path.symlink_to("/etc/passwd")
        elif self.content == "device":
            path.symlink_to("/dev/zero")
        elif self.content == "folder":
            path.mkdir()
        elif self.content == "unreadable":
            path.write_bytes(encoded(pixels(), "PNG"))
            path.chmod(0)
        else:
            path.write_bytes(content(self.content))
        return name


SPECIAL: dict[str, Fate] = {
    "pipe": "ignored",
    "dead link": "bad",
    "link to itself": "bad",
    "link outside": "bad",
    "device": "ignored",
    "folder": "ignored",
    "unreadable": "bad" if os.geteuid() else "fine",
}


HEAVY = frozenset({
    "bomb behind the pixels", "nearly too large", "nearly too large, in colour", "nearly too large, cut",
    "false header jpeg, allowed", "long text",
})  # fmt: skip


@cache
def content(kind: str) -> bytes:
    return CONTENTS[kind][2]()


@dataclass(frozen=True)
class Folder:
    """A folder with a class of good images and a class of hostile files, and whether bad files are skipped."""

    files: tuple[File, ...]
    class_name: bytes
    skip_bad: bool

    def complaint(self, place: Path) -> str:
        """What is wrong with the answer to a run on this folder; empty if every file meets its fate.

        place: a folder to work in, with the good images in `place`/good.
        """
        root = place / "images"
        shutil.rmtree(root, ignore_errors=True)
        (root / "good").mkdir(parents=True)
        for file in (place / "good").iterdir():
            (root / "good" / file.name).hardlink_to(file)
        class_folder = root / os.fsdecode(self.class_name + b"_")
        class_folder.mkdir()
        names = {number: file.write(class_folder, number) for number, file in enumerate(self.files, start=900)}
        fates = ["ignored" if self.class_name.startswith(b".") else file.fate for file in self.files]
        config = place / "c.toml"
        config.write_bytes(tomli_w.dumps(settings_for(f"folder:{root}", {"skip_bad": self.skip_bad})).encode())
        # a number and an extension identify the file, however its name is printed
        suspects = [
            f"{number}{Path(name).suffix}"
            for (number, name), fate in zip(names.items(), fates, strict=True)
            if fate in ("bad", "either", "unsaid")
        ]
        said, result = attempt(["run", str(config), "--dry-run", "--out", str(place / "run")], suspects)
        if said or result is None:
            return said
        if "unsaid" in fates:
            return "" if result.exit_code == 2 else "a file was read in one of two ways"
        bad, either = fates.count("bad"), fates.count("either")
        if not self.skip_bad:
            if result.exit_code == 0 and bad:
                return "a bad file was read"
            return "good files were refused: " + result.stderr if result.exit_code and not bad and not either else ""
        if result.exit_code:
            return f"not skipped: {result.stderr}"
        counted = re.search(r"(\d+) files of the data skipped", result.stdout.replace("\n", " "))
        skipped = int(counted[1]) if counted else 0
        return "" if bad <= skipped <= bad + either else f"{skipped} files skipped of {bad} bad and {either} doubtful"


def hostile_folders(heavy: bool) -> st.SearchStrategy[Folder]:
    """Folders of 1 to 4 hostile files. heavy: also with files that take seconds."""
    contents = sorted({*CONTENTS, *SPECIAL} - (frozenset() if heavy else HEAVY))
    files = st.lists(st.builds(File, st.sampled_from(NAMES), st.sampled_from(contents)), min_size=1, max_size=4)
    return st.builds(Folder, files.map(tuple), st.sampled_from(NAMES), st.booleans())


def settings_for(dataset: str, params: dict[str, Any]) -> dict[str, Any]:
    """A benchmark on a data set of `GOOD` images and a few more."""
    data = {"dataset": dataset, "params": params, "pool": 70, "reference": 70, "duplicates": {"groups": 4}}
    attacks = {"extraction": {"neighbours": 10}}
    metrics = {"features": "pixels", "names": ["kid"]}  # folders may be without classes
    return small(data=data, attacks=attacks, metrics=metrics, sampling={"images": 70, "steps": 3})


def write_good(folder: Path) -> None:
    """`GOOD` distinct images of 8x8 grey pixels."""
    folder.mkdir(parents=True)
    for seed in range(GOOD):
        (folder / f"{seed}.png").write_bytes(encoded(pixels(seed + 100), "PNG"))
