"""What models are told of each image in place of its class: known beforehand, and all else of the pool as it was."""

from __future__ import annotations

import numpy as np
import pytest

from leakfront.harness.pool.pool import Pool, PoolSettings, build_pool
from leakfront.harness.pool.told_labels import RANDOM_LABELS, Labels, told
from tests.harness.pool.test_pool import random_images

PARTS = ("labels", "reference_labels", "extractor_labels")


def pool(size: int = 80, n: int = 200) -> Pool:
    return build_pool(random_images(n), PoolSettings(size), seed=1)


def test_the_class_is_told_unless_something_else_is_asked_for() -> None:
    drawn = pool()
    assert told(drawn, "class", 0) is drawn


@pytest.mark.parametrize("labels", ["none", "random", "unique"])
def test_all_but_the_labels_stays_as_it_was(labels: Labels) -> None:
    drawn = pool()
    changed = told(drawn, labels, 0)
    for name in ("images", "copies", "variants", "variant_of", "reference_images", "extractor_images"):
        assert getattr(changed, name) is getattr(drawn, name)
    for part in PARTS:
        found = getattr(changed, part)
        assert (found.dtype, found.shape) == (np.int64, getattr(drawn, part).shape)
        assert 0 <= found.min() <= found.max() < len(changed.classes)


def test_without_labels_all_images_are_told_the_same() -> None:
    changed = told(pool(), "none", 0)
    assert len(changed.classes) == 1
    assert not any(getattr(changed, part).any() for part in PARTS)


def test_random_labels_are_equally_likely_and_have_nothing_to_do_with_the_class() -> None:
    drawn = pool(2000, 4000)
    changed = told(drawn, "random", 3)
    for part in PARTS:
        labels, size = getattr(changed, part), len(getattr(drawn, part))
        counts = np.bincount(labels, minlength=RANDOM_LABELS)
        assert len(counts) == len(changed.classes) == RANDOM_LABELS
        assert ((counts - size / 10) ** 2 / (size / 10)).sum() < 33.7  # chi-squared, 9 degrees of freedom, p = 0.0001
    joint = np.zeros((3, RANDOM_LABELS))
    np.add.at(joint, (drawn.labels, changed.labels), 1)
    expected = joint.sum(1, keepdims=True) * joint.sum(0) / joint.sum()
    assert ((joint - expected) ** 2 / expected).sum() < 50.6  # 18 degrees of freedom
    assert (told(drawn, "random", 4).labels != changed.labels).mean() > 0.8
    assert (told(drawn, "random", 3).labels == changed.labels).all()


def test_each_pool_image_has_a_label_of_its_own_and_no_image_outside_it_has_one_of_these() -> None:
    changed = told(pool(), "unique", 0)
    assert changed.labels.tolist() == list(range(80))
    assert {*changed.reference_labels, *changed.extractor_labels} == {80}
    assert len(changed.classes) == 81
