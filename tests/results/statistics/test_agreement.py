"""The agreement of two models against the formula written once more, and against its two ends."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leakfront.results.statistics import agreement as module
from leakfront.results.statistics.agreement import agreement


def by_hand(one: np.ndarray, other: np.ndarray, asked: np.ndarray) -> float:
    n = len(one)
    same = np.mean([math.dist(one[i], other[i]) for i in range(n)])
    others = [math.dist(one[i], other[j]) for i in range(n) for j in range(n) if i != j and asked[i] == asked[j]]
    return float(1 - same / np.mean(others))


def test_it_is_the_formula_and_the_interval_leaves_out_one_noise_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 20)  # several blocks, of unequal size
    rng = np.random.default_rng(0)
    one, asked = rng.normal(size=(17, 3)), np.arange(17) % 3
    other = one + rng.normal(size=one.shape) * 0.7
    found = agreement(one, other, asked)
    assert found.value == pytest.approx(by_hand(one, other, asked))
    left_out = [by_hand(*(np.delete(x, i, axis=0) for x in (one, other, asked))) for i in range(17)]
    half = 1.96 * math.sqrt(16 * np.var(left_out))
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half))


def test_equal_images_agree_and_images_that_forget_the_noise_do_not() -> None:
    rng = np.random.default_rng(0)
    one, asked = rng.normal(size=(300, 8)), np.zeros(300, int)
    assert agreement(one, one, asked)[:3] == (1.0, 1.0, 1.0)
    independent = agreement(one, rng.normal(size=one.shape), asked)
    assert independent.low < 0 < independent.high
    assert independent.high - independent.low < 0.1
    assert agreement(one, -one, asked).high < 0  # farther than any other


def test_what_has_no_unit_has_no_number() -> None:
    images = np.random.default_rng(0).normal(size=(6, 2))
    assert math.isnan(agreement(images, images[::-1], np.arange(6)).value)  # each asked for something else
    assert math.isnan(agreement(np.zeros((6, 2)), np.zeros((6, 2)), np.zeros(6, int)).value)
    assert math.isnan(agreement(images[:2], images[2:4], np.zeros(2, int)).value)
