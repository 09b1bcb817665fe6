"""The control by cross-validation has known answers: nothing where sides are alike, everything where they are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from leakfront.attacks.controls.content import content_features
from leakfront.harness.pool.near_copies import near_copies
from leakfront.harness.stages.control_rows import control_auc
from leakfront.results.statistics.estimate import Estimate
from leakfront.results.statistics.halves import auc_of_halves

SIDE = 48


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    pixels = np.round(load_digits().images * (255 / 16)).astype(np.uint8)[:, None]
    return np.asarray(pixels[np.random.default_rng(0).permutation(len(pixels))[:800]])


def recoded(image: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image[0]).save(buffer, "JPEG", quality=90)
    return np.asarray(Image.open(buffer))[None]


def control(members: np.ndarray, decoys: np.ndarray, seed: int = 0) -> Estimate:
    images = np.concatenate([members, decoys])
    side = np.arange(len(images)) < len(members)
    return control_auc(content_features(images), side, np.arange(len(images)), seed)


def test_of_one_distribution_the_interval_covers_one_half(digits: np.ndarray) -> None:
    features, found = content_features(digits), []
    for seed in range(8):
        images = np.random.default_rng(seed).permutation(len(digits))[: 2 * SIDE]
        found.append(control_auc(features[images], np.arange(2 * SIDE) < SIDE, np.arange(2 * SIDE), seed))
    assert all(one.low < 0.5 < one.high for one in found)
    assert abs(np.mean([one.value for one in found]) - 0.5) < 0.06


def test_png_against_jpeg_is_told_apart(digits: np.ndarray) -> None:
    found = control(digits[:SIDE], np.stack([recoded(image) for image in digits[SIDE : 2 * SIDE]]))
    assert found.value > 0.98
    assert found.low > 0.85


@pytest.mark.parametrize("shift", [2, -2])
def test_a_shift_of_2_of_255_levels_is_found(digits: np.ndarray, shift: int) -> None:
    shifted = np.clip(digits[SIDE : 2 * SIDE].astype(int) + shift, 0, 255).astype(np.uint8)
    assert control(digits[:SIDE], shifted).low > 0.7


def test_near_copies_are_never_on_both_sides_of_a_fit(digits: np.ndarray) -> None:
    """Sides drawn by fair coins, each image three times: fits that saw a copy would know its side."""
    side = np.random.default_rng(1).random(SIDE) < 0.5
    images = np.concatenate([digits[:SIDE]] * 3)
    features = np.column_stack([content_features(images), images.reshape(len(images), -1)])
    found = control_auc(features, np.tile(side, 3), near_copies(images).groups, 0)
    leaking = control_auc(features, np.tile(side, 3), np.arange(3 * SIDE), 0)
    assert leaking.low > 0.8
    assert found.value < 0.7


def test_too_few_images_have_a_reason_instead_of_a_number(digits: np.ndarray) -> None:
    found = control(digits[:4], digits[4:40])
    assert np.isnan(found.value)
    assert "needs 5 members and decoys" in found.method


def test_without_any_feature_all_images_are_alike() -> None:
    found = control_auc(np.empty((40, 0)), np.arange(40) < 20, np.arange(40), 0)
    assert found.value == 0.5
    assert found.low < 0.5 < found.high


def test_the_folds_follow_from_the_seed(digits: np.ndarray) -> None:
    assert control(digits[:SIDE], digits[SIDE : 2 * SIDE], 1) == control(digits[:SIDE], digits[SIDE : 2 * SIDE], 1)


def test_halves_of_one_side_are_told_apart_by_chance_alone() -> None:
    rng = np.random.default_rng(0)
    side = np.arange(400) >= 200
    scores = rng.normal(size=400) + 5 * ~side  # the other side plays no part
    found = auc_of_halves(scores, side, 0)
    assert abs(found.value - 0.5) < 0.02
    sd = np.sqrt(201 / 12) / 100  # of the AUC of two halves of 100 images
    assert abs((found.high - found.low) / 2 - 1.96 * sd) < 0.02
    assert np.isnan(auc_of_halves(scores, np.arange(400) < 3, 0).value)


# near copies


def test_near_copies_are_found_and_different_images_are_not(digits: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    copies = digits[:40].astype(float)
    copies[:10] += 20  # brighter
    copies[10:20] += rng.normal(0, 8, copies[10:20].shape)
    changed = np.clip(np.round(copies), 0, 255).astype(np.uint8)
    changed[20:30] = np.stack([recoded(image) for image in digits[20:30]])
    found = near_copies(np.concatenate([digits[:300], changed[:30]]))
    pairs = dict(found.across(np.arange(330) < 300))
    assert pairs == {300 + i: i for i in range(30)}
    assert np.array_equal(found.groups[300:], found.groups[:30])
    among = {tuple(sorted(pair)) for pair in found.pairs.tolist() if max(pair) < 300}
    assert len(among) <= 6  # by chance


def test_images_that_hardly_differ_are_near_copies_however_many_there_are(digits: np.ndarray) -> None:
    many = np.repeat(digits[:1], 80, axis=0)
    many[:, 0, 0, 0] = np.arange(80) % 8
    assert len(np.unique(near_copies(np.concatenate([many, digits[1:20]])).groups[:80])) == 1
