"""Tiled distances among many images: those up to a limit exactly, with little work for the rest."""

from __future__ import annotations

import math

import numpy as np

SIDE = 64  # images are averaged to at most so many blocks a side first
PAIRS_AT_ONCE = 2**22  # values of a difference held at once


def distances_up_to(images: np.ndarray, tiles: int, limit: float, side: int = SIDE) -> np.ndarray:
    """Symmetric distances [N, N] among images uint8 [N, C, H, W]: the maximum over `tiles` x `tiles` tiles of the root
    mean square difference of pixels in [0, 1].

    Those up to `limit` are exact. For pairs beyond it, a value beyond it that is at most the distance: per tile, the
    difference of the means of blocks is never above that of the pixels, so most pairs can be told from the means alone.
    H and W must be multiples of `tiles`.
    """
    factor = block_of(images.shape[2] // tiles, images.shape[3] // tiles, max(images.shape[2:]), side)
    means = _averaged(images, factor)
    n = len(images)
    between = np.zeros((n, n))
    for row in range(n - 1):
        between[row, row + 1 :] = _tiled(means[row], means[row + 1 :], tiles)
    if factor > 1:
        left, right = np.nonzero(np.triu(between <= limit * (1 + 1e-9), 1))
        step = max(1, PAIRS_AT_ONCE // images[0].size)
        for first in range(0, len(left), step):
            a, b = left[first : first + step], right[first : first + step]
            between[a, b] = _tiled(images[a].astype(np.float64), images[b].astype(np.float64), tiles)
    symmetric: np.ndarray = between + between.T
    return symmetric


def block_of(height: int, width: int, longest: int, side: int) -> int:
    """The smallest block that divides a tile of `height` x `width` and leaves at most `side` blocks of the `longest`
    side; else the largest that divides it."""
    common = math.gcd(height, width)
    divisors = [number for number in range(1, common + 1) if common % number == 0]
    return next((number for number in divisors if longest <= side * number), divisors[-1])


def _averaged(images: np.ndarray, factor: int) -> np.ndarray:
    """The means of blocks of `factor` x `factor` pixels, float64 [N, C, H / factor, W / factor]."""
    n, channels, height, width = images.shape
    blocks = images.reshape(n, channels, height // factor, factor, width // factor, factor)
    means: np.ndarray = blocks.sum((3, 5), dtype=np.float64) / factor**2
    return means


def _tiled(a: np.ndarray, b: np.ndarray, tiles: int) -> np.ndarray:
    """The distance of each pair of images with values in [0, 255], [n]; `a` may be one image for all of `b`."""
    squared = np.square(a - b)
    n, channels, height, width = squared.shape
    split = squared.reshape(n, channels, tiles, height // tiles, tiles, width // tiles)
    distances: np.ndarray = np.sqrt(split.mean((1, 3, 5)).max((1, 2))) / 255
    return distances
