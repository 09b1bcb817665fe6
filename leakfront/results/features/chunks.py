"""Images in chunks of one size, so that no image's features depend on how many others there are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def filled_chunks(images: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Chunks [size, …] of images [N, …], each with its number of images; zeros fill up the last chunk."""
    for start in range(0, len(images), size):
        chunk = images[start : start + size]
        missing = np.zeros((size - len(chunk), *images.shape[1:]), dtype=images.dtype)
        yield np.concatenate([chunk, missing]), len(chunk)
