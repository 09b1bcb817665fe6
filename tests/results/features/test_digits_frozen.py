"""The frozen features of digits: what they tell apart, what they refuse, and that machines agree on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy.ndimage import gaussian_filter

from leakfront.datasets import open_dataset
from leakfront.errors import InputError
from leakfront.harness.settings.file import load_config
from leakfront.results.features import digits_frozen
from leakfront.results.features.digits_frozen import DigitsFrozen
from leakfront.testing import check_feature_extractor
from tests.results.features.test_features import fid


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """All 1,797 digits in random order, uint8 [N, 1, 8, 8], and their labels."""
    data = open_dataset("digits").load()
    order = np.random.default_rng(0).permutation(len(data.labels))
    return data.images[order], data.labels[order]


def features(images: np.ndarray) -> np.ndarray:
    return DigitsFrozen().fit(images, np.zeros(len(images), np.int64), seed=0).extract(images)


def falls_behind(here: np.ndarray, parts: list[np.ndarray], reference: np.ndarray) -> None:
    """Each part is farther from the reference than the one before it; the last at least ten times as far.

    here: features of the first. reference: features.
    """
    distances = [fid(here, reference), *(fid(features(part), reference) for part in parts)]
    assert distances == sorted(distances)
    assert distances[-1] > 10 * distances[0]


def whole(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def test_they_keep_to_the_contract() -> None:
    check_feature_extractor(DigitsFrozen())


def test_real_digits_are_near_each_other_and_noise_is_far(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, _ = digits
    noise = np.random.default_rng(0).integers(0, 256, (800, 1, 8, 8)).astype(np.uint8)
    halves, far = (fid(features(part), features(images[900:])) for part in (images[:900], noise))
    assert 0 < halves < 1
    assert 30 < far < 50


def test_lost_digits_blur_and_noise_each_raise_the_distance(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    some, grain = images[:900], np.random.default_rng(0).normal(size=(900, 1, 8, 8)) * 255
    here, reference = features(some), features(images[900:])
    falls_behind(here, [some[labels[:900] >= kept] for kept in (1, 2, 4, 6)], reference)
    falls_behind(here, [whole(gaussian_filter(some * 1.0, (0, 0, s, s))) for s in (0.4, 0.5, 0.7, 1)], reference)
    falls_behind(here, [whole(some + grain * share) for share in (0.05, 0.1, 0.2, 0.4)], reference)


def test_the_network_reads_digits_that_it_has_never_seen(digits: tuple[np.ndarray, np.ndarray]) -> None:
    import torch

    images, labels = digits
    with torch.inference_mode():
        guesses = digits_frozen.loaded()(digits_frozen.scaled(images)).argmax(dim=1).numpy()
    assert (guesses == labels).mean() == pytest.approx(0.955, abs=0.001)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 28, 28), (2, 8, 8), (1, 8, 9)])
def test_other_images_are_refused_in_one_sentence(shape: tuple[int, ...]) -> None:
    named = " x ".join(str(side) for side in shape)
    with pytest.raises(InputError, match=f"grey images of 1 x 8 x 8 pixels, got {named}"):
        features(np.zeros((5, *shape), np.uint8))
    fitted = DigitsFrozen().fit(np.zeros((0, 1, 8, 8), np.uint8), np.zeros(0, np.int64), seed=0)
    with pytest.raises(InputError, match="embedded"):
        fitted.extract(np.zeros((5, *shape), np.uint8))


def test_a_damaged_file_of_weights_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits_frozen.loaded.cache_clear()
    damaged = tmp_path / "weights.safetensors"
    damaged.write_bytes(digits_frozen.WEIGHTS.read_bytes()[:-1] + b"\0")
    for path in (damaged, tmp_path / "missing.safetensors"):
        monkeypatch.setattr(digits_frozen, "WEIGHTS", path)
        with pytest.raises(InputError, match=f"{path} is missing or damaged"):
            features(np.zeros((1, 1, 8, 8), np.uint8))


def test_the_weights_are_small_and_part_of_the_key() -> None:
    assert digits_frozen.WEIGHTS.stat().st_size < 300_000
    assert DigitsFrozen().version() == {"sha256": digits_frozen.SHA256}


def by_numpy(images: np.ndarray) -> np.ndarray:
    """The same network without torch, its sums in another order, as on another machine."""
    weights = {key: values.astype(np.float64) for key, values in load_file(digits_frozen.WEIGHTS).items()}
    x = images / 127.5 - 1.0
    for layer in ("0.0", "0.2", "0.5", "0.7"):
        if layer == "0.5":
            x = x.reshape(*x.shape[:2], 4, 2, 4, 2).max(axis=(3, 5))
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        squares = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
        summed = np.einsum("nihwab,oiab->nohw", squares, weights[f"{layer}.weight"], optimize=True)
        x = np.maximum(summed + weights[f"{layer}.bias"][:, None, None], 0)
    averaged: np.ndarray = x.mean(axis=(2, 3))
    return averaged


def test_sums_in_another_order_change_nothing_that_is_printed(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, _ = digits
    here, there = features(images[:600]), by_numpy(images[:600])
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-13 * here.max())
    assert fid(there[:300], there[300:]) == pytest.approx(fid(here[:300], here[300:]), rel=1e-11)


@pytest.mark.parametrize("name", ["digits", "defenses", "dp_ablation"])
def test_the_benchmarks_on_digits_use_them(name: str) -> None:
    assert load_config(name).metrics.features == "digits_frozen"
