"""Texts as arrays, so that safetensors hold them beside the images that they belong to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def as_array(texts: Sequence[str]) -> np.ndarray:
    """The texts as one array uint8 [bytes]: UTF-8, each ended by a null byte.

    Raises `ValueError` for a text with a null character.
    """
    if any("\0" in text for text in texts):
        raise ValueError("a text has a null character")
    return np.frombuffer("".join(f"{text}\0" for text in texts).encode(), dtype=np.uint8)


def as_texts(array: np.ndarray) -> tuple[str, ...]:
    """The texts that `as_array` turned into an array. Raises `ValueError` for another one."""
    content = array.astype(np.uint8, casting="safe").tobytes().decode()
    if content and not content.endswith("\0"):
        raise ValueError("the last text is cut")
    return tuple(content.split("\0")[:-1])
