"""Distances among generations: exact up to the limit, and beyond it wherever they are beyond."""

from __future__ import annotations

import numpy as np
import pytest

from leakfront.attacks.generate_and_filter import tiled_distances
from leakfront.attacks.prompts import distances
from leakfront.attacks.prompts.distances import block_of, distances_up_to


def pictures(side: int) -> np.ndarray:
    """Smooth images, each three times with a little noise."""
    rng = np.random.default_rng(0)
    rough = rng.integers(0, 256, (8, 3, 4, 4)).repeat(side // 4, 2).repeat(side // 4, 3)
    noise = rng.integers(-20, 21, (24, 3, side, side))
    return np.clip(np.tile(rough, (3, 1, 1, 1)) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("tiles", [1, 2, 4])
def test_without_averaging_all_distances_are_exact(tiles: int) -> None:
    images = pictures(16)
    np.testing.assert_allclose(distances_up_to(images, tiles, 0.0), tiled_distances(images, images, tiles), rtol=1e-12)


@pytest.mark.parametrize("tiles", [1, 2, 4])
@pytest.mark.parametrize("side", [4, 8])
def test_averaging_changes_no_distance_up_to_the_limit(tiles: int, side: int) -> None:
    images = pictures(32)
    expected = tiled_distances(images, images, tiles)
    limit = float(np.quantile(expected, 0.2))
    found = distances_up_to(images, tiles, limit, side)
    near = expected <= limit
    assert 30 < near.sum() < near.size
    np.testing.assert_allclose(found[near], expected[near], rtol=1e-12)
    assert (found[~near] > limit).all()
    assert (found <= expected + 1e-12).all()
    np.testing.assert_array_equal(found, found.T)


def test_pairs_that_the_means_tell_apart_are_not_compared_pixel_by_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    exactly = distances._tiled

    def counted(a: np.ndarray, b: np.ndarray, tiles: int) -> np.ndarray:
        if b.shape[-1] == 32:
            compared.append(len(b))
        return exactly(a, b, tiles)

    monkeypatch.setattr(distances, "_tiled", counted)
    images = pictures(32)
    distances_up_to(images, 4, 0.1, side=8)
    assert sum(compared) == 24  # each of 8 images three times


@pytest.mark.parametrize(
    ("height", "width", "longest", "side", "block"),
    [(128, 128, 512, 64, 8), (16, 16, 64, 64, 1), (2, 2, 8, 64, 1), (24, 16, 96, 64, 2), (25, 25, 100, 64, 5),
     (7, 5, 700, 64, 1)],
)  # fmt: skip
def test_blocks_divide_tiles_and_are_no_larger_than_needed(
    height: int, width: int, longest: int, side: int, block: int
) -> None:
    assert block_of(height, width, longest, side) == block
