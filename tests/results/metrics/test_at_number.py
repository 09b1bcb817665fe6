"""FIDs moved to another number of images: near those that as many images have, for metrics whose bias is known."""

from __future__ import annotations

import numpy as np
import pytest

from leakfront.results.metrics.at_number import at_number
from leakfront.results.metrics.fid import FID
from leakfront.results.metrics.image_set import ImageSet
from leakfront.results.metrics.kid import KID
from leakfront.results.statistics.estimate import Estimate
from tests.results.metrics.test_metrics import estimate, features


def moved(seed: int, count: int, images: int) -> tuple[Estimate, Estimate]:
    """FID of `count` images against 400 others, and as it would be with `images`."""
    generated, real = ImageSet.of(features(2 * seed, count, 16)), ImageSet.of(features(2 * seed + 1, 400, 16))
    found = at_number(FID(), generated, real, images, seed=3)
    assert found is not None
    return FID().estimate(generated, real, 0), found


def test_on_average_it_is_the_value_at_that_number() -> None:
    draws = range(150)
    few, extrapolated = np.array([[e.value for e in moved(draw, 400, 1600)] for draw in draws]).T
    sets = [(features(1000 + 2 * draw, 1600, 16), features(1001 + 2 * draw, 400, 16)) for draw in draws]
    many = [estimate(FID(), generated, real).value for generated, real in sets]
    assert few.mean() > 1.4 * np.mean(many)
    assert extrapolated.mean() == pytest.approx(np.mean(many), rel=0.08)


def test_it_also_goes_down_in_number_and_stays_where_it_is_at_the_same() -> None:
    found, at_same = moved(1, 200, 200)
    assert at_same[:3] == pytest.approx(found[:3])
    assert moved(1, 200, 100)[1].value > found.value


def test_the_interval_moves_along_and_ends_at_zero() -> None:
    found, extrapolated = moved(1, 200, 1600)
    assert 0 <= extrapolated.low <= extrapolated.value < found.value
    assert extrapolated.high - extrapolated.value == pytest.approx(found.high - found.value)
    assert extrapolated.method.endswith("; moved from 200 to 1600 images along a line in 1/n")


def test_there_is_none_without_a_known_bias_or_with_too_few_images() -> None:
    generated, real = ImageSet.of(features(1, 100, 16)), ImageSet.of(features(2, 100, 16))
    assert at_number(KID(), generated, real, 1000, seed=0) is None
    assert at_number(FID(), ImageSet.of(features(1, 33, 16)), real, 1000, seed=0) is None
    assert at_number(FID(), ImageSet.of(features(1, 34, 16)), real, 1000, seed=0) is not None
