"""The contract of a metric, checked on synthetic features."""

from __future__ import annotations

import math

import numpy as np

from leakfront.errors import InputError
from leakfront.results.metrics import Metric
from leakfront.results.metrics.image_set import ImageSet
from leakfront.results.statistics.estimate import Estimate
from leakfront.testing.plugin import calling, check_plugin, named, require

DIMENSIONS = 8


def check_metric(metric: type[Metric] | Metric) -> None:
    """Raise `AssertionError` unless a metric keeps to the contract of `leakfront.results.metrics.Metric`.

    metric: a class, or an instance whose parameters suit 150 to 300 images with 8 features.

    It checks that the metric states what it is (a frozen dataclass with defaults, a docstring, its direction). On
    features whose distribution is known, it must rate no set above the real images themselves, and a shifted set below
    them. The same seed must give the same estimate, the interval must hold the value, and the value must lie within
    `floor` and `ceiling` and not depend on the order of the images. The metric must accept its `minimum` of images, and
    refuse fewer with an `InputError` that names the metric and the minimum.
    """
    metric = check_plugin(metric, Metric, "metric")
    who = named(metric, "metric")
    require(isinstance(metric.higher_is_better, bool), f"higher_is_better of {who} must be true or false")
    _check_minimum(metric, who)
    _check_estimate(metric, who)
    _check_direction(metric, who)


def synthetic_features(seed: int, count: int, dimensions: int = DIMENSIONS, shift: float = 0.0) -> np.ndarray:
    """Correlated, rectified normal features [count, dimensions], from the same distribution for every seed, plus
    `shift`."""
    mixing = np.random.default_rng(0).normal(size=(dimensions, dimensions)) / np.sqrt(dimensions)
    normal = np.random.default_rng([1, seed]).normal(size=(count, dimensions))
    rectified: np.ndarray = np.maximum(normal @ mixing + 0.5, 0.0)
    return rectified + shift


def estimate(metric: Metric, generated: np.ndarray, real: np.ndarray, seed: int = 0) -> Estimate:
    """The metric of features [N, d] in memory. An image's class is whether its first feature is above the median."""
    first, second = (
        ImageSet.of(rows, (rows[:, 0] > np.median(rows[:, 0])).astype(np.int64)) for rows in (generated, real)
    )
    found = metric.estimate(first, second, seed)
    require(isinstance(found, Estimate), f"{named(metric, 'metric')} must return an Estimate, not {found!r}")
    return found


def _check_minimum(metric: Metric, who: str) -> None:
    with calling(f"{who}: minimum"):
        needed = metric.minimum(DIMENSIONS)
    require(isinstance(needed, int) and 1 <= needed <= 150, f"minimum({DIMENSIONS}) of {who} is {needed}; check an "
            "instance that accepts 150 images")  # fmt: skip
    enough, fewer = synthetic_features(1, needed), synthetic_features(2, needed - 1)
    with calling(f"{who}: estimate of its minimum of {needed} images"):
        found = estimate(metric, enough, enough + 0.1)
    require(math.isfinite(found.value), f"{who} must be finite for its minimum of {needed} images")
    for generated, real in ((fewer, enough), (enough, fewer)):
        try:
            estimate(metric, generated, real)
        except InputError as error:
            said = str(error)
            require(metric.name in said and str(needed) in said, f"{who} must name itself and its minimum, {needed}, "
                    f"when it refuses fewer images; it says: {said}")  # fmt: skip
        except Exception as error:
            wanted = f"{who} must refuse {needed - 1} images with an InputError, not with {error!r}"
            raise AssertionError(wanted) from error
        else:
            raise AssertionError(f"{who} must refuse {needed - 1} images, since its minimum is {needed}")


def _check_estimate(metric: Metric, who: str) -> None:
    generated, real = synthetic_features(1, 200), synthetic_features(2, 150, shift=0.1)
    kept = generated.copy(), real.copy()
    with calling(f"{who}: estimate"):
        found, again = (estimate(metric, generated, real, seed=3) for _ in range(2))
        shuffled = estimate(metric, generated[::-1], np.roll(real, 7, axis=0), seed=3)
    unchanged = np.array_equal(kept[0], generated) and np.array_equal(kept[1], real)
    require(unchanged, f"{who} must not change the features in place")
    require(math.isfinite(found.value), f"{who} must return a finite value")
    require(found == again, f"{who} must return the same estimate with the same seed")
    holds = found.low <= found.value <= found.high
    require(holds, f"the interval of {who} must hold its value: {found.low} … {found.value} … {found.high}")
    require(found.method, f"{who} must say how its interval was made")
    same = math.isclose(shuffled.value, found.value, rel_tol=1e-9, abs_tol=1e-12)
    require(same, f"{who} must not depend on the order of the images")


def _check_direction(metric: Metric, who: str) -> None:
    real = synthetic_features(1, 300)
    with calling(f"{who}: estimate"):
        same, fresh, near, far = (
            estimate(metric, generated, real).value
            for generated in (real, *(synthetic_features(2, 300, shift=shift) for shift in (0.0, 0.5, 3.0)))
        )
    for value in (same, fresh, near, far):
        above = metric.floor is None or value >= metric.floor
        below = metric.ceiling is None or value <= metric.ceiling
        range_ = f"its floor and ceiling, {metric.floor} and {metric.ceiling}"
        require(above and below, f"{who} is {value}, which is outside {range_}")
    sign = 1 if metric.higher_is_better else -1
    best = all(sign * same >= sign * other for other in (fresh, near, far))
    require(best, f"{who} must rate no set above the real images themselves; is higher_is_better right?")
    require(sign * same > sign * far, f"{who} must rate a shifted set below the real images")
