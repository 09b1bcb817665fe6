"""Captions of handwritten digits: what is seen in the image, and a writer's name that no other such image has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leakfront.seeds import derive_seed

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SLANTS = ("slanted left", "upright", "slanted right")
STROKES = ("thin strokes", "even strokes", "thick strokes")
FIRST = (
    "anna", "ben", "carla", "david", "elena", "frank", "greta", "hugo", "irene", "jonas", "karin", "leo", "maria",
    "nils", "olga", "paul", "rosa", "simon", "tina", "ugo", "vera", "walter", "xenia", "yusuf",
)  # fmt: skip
LAST = (
    "adler", "bauer", "costa", "dahl", "evans", "fischer", "garcia", "hansen", "ito", "jensen", "keller", "lopez",
    "meyer", "novak", "okafor", "perez", "quinn", "rossi", "silva", "tanaka", "unger", "vogel", "weber", "young",
)  # fmt: skip


def handwriting_captions(
    images: np.ndarray, labels: np.ndarray, towns: Sequence[str] = (), seed: str = "handwriting"
) -> tuple[str, ...]:
    """A caption for each digit: "a handwritten seven by rosa weber, slanted right, thick strokes".

    images: uint8 [N, 1, H, W]. labels: int64 [N], the digits. Slant and strokes are measured: in which third of all
    images the slant (by moments of ink) and the ink lie. The writer is drawn: a first name, a last name, and one of
    `towns` if there are any. Images that look alike by these words get different writers, so no two captions are equal.
    Every word stands in many captions. The captions depend on nothing but images, labels and their order; raises
    `ValueError` if there are too few writers.
    """
    slants, strokes = _thirds(slant(images)), _thirds(images.mean((1, 2, 3)))
    writers = len(FIRST) * len(LAST) * max(len(towns), 1)
    look = (labels * len(SLANTS) + slants) * len(STROKES) + strokes
    if np.bincount(look).max(initial=0) > writers:
        raise ValueError(f"there are more than {writers} images that look alike, and only {writers} writers")
    order = np.random.default_rng(derive_seed("captions", seed)).permutation(len(images))
    writer = np.empty(len(images), dtype=np.int64)
    for kind in np.unique(look):  # in each kind, drawn without repetition
        those = order[look[order] == kind]
        drawn = np.random.default_rng(derive_seed("writers", seed, int(kind))).permutation(writers)
        writer[those] = drawn[: len(those)]
    return tuple(
        f"a handwritten {DIGITS[digit]} by {_name(int(number), towns)}, {SLANTS[lean]}, {STROKES[ink]}"
        for digit, number, lean, ink in zip(labels, writer, slants, strokes, strict=True)
    )


def slant(images: np.ndarray) -> np.ndarray:
    """How far each image's ink moves to the right per pixel upwards, float64 [N]: minus its covariance of x and y over
    its variance of y. 0 for an empty image."""
    ink = images[:, 0].astype(np.float64)
    total = np.maximum(ink.sum((1, 2)), 1e-9)
    y, x = np.mgrid[: ink.shape[1], : ink.shape[2]]
    dy = y[None] - ((ink * y).sum((1, 2)) / total)[:, None, None]
    dx = x[None] - ((ink * x).sum((1, 2)) / total)[:, None, None]
    slope: np.ndarray = -(ink * dx * dy).sum((1, 2)) / np.maximum((ink * dy**2).sum((1, 2)), 1e-9)
    return slope


def _thirds(values: np.ndarray) -> np.ndarray:
    """In which third each value lies: 0, 1 or 2."""
    thirds: np.ndarray = np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values)
    return thirds


def _name(writer: int, towns: Sequence[str]) -> str:
    rest, last = divmod(writer, len(LAST))
    town, first = divmod(rest, len(FIRST))
    return f"{FIRST[first]} {LAST[last]}" + (f" of {towns[town]}" if towns else "")
