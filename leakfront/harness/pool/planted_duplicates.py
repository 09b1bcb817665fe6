"""Altered copies of training images, for planted duplicates."""

import io
from typing import Literal, get_args

import numpy as np
from PIL import Image

CopyKind = Literal["exact", "shifted", "noised", "recompressed"]
COPY_KINDS: tuple[str, ...] = get_args(CopyKind)
NOISE_SD = 8.0  # of 255
JPEG_QUALITY = 75
NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


def altered_copies(image: np.ndarray, kind: CopyKind, count: int, seed: int) -> list[np.ndarray]:
    """At most `count` altered copies of `image`, uint8 [C, H, W]; they depend on the arguments alone.

    "exact" gives none, "shifted" up to 8, "recompressed" one, "noised" always `count`. A copy can equal the image if
    the alteration does not change it (for example a shift of an image of one colour).
    """
    generator = np.random.default_rng(seed)
    if kind == "shifted":
        return [shifted(image, *NEIGHBOURS[i]) for i in generator.permutation(len(NEIGHBOURS))[:count]]
    if kind == "noised":
        return [noised(image, generator) for _ in range(count)]
    if kind == "recompressed":
        return [recompressed(image)] if count > 0 else []
    return []


def shifted(image: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """`image` moved by dy pixels down and dx to the right, each -1, 0 or 1; the edge is repeated."""
    height, width = image.shape[1:]
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return np.ascontiguousarray(padded[:, 1 - dy : 1 - dy + height, 1 - dx : 1 - dx + width])


def noised(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """`image` with independent Gaussian noise of standard deviation 8/255 on every value, rounded and clipped."""
    return np.clip(np.round(image + generator.normal(0.0, NOISE_SD, image.shape)), 0, 255).astype(np.uint8)


def recompressed(image: np.ndarray) -> np.ndarray:
    """`image`, C 1 or 3, after JPEG compression at quality 75 (Pillow's other defaults) and decompression."""
    buffer = io.BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(
        buffer, "JPEG", quality=JPEG_QUALITY
    )
    pixels = np.asarray(Image.open(buffer))
    return pixels[None].copy() if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
