"""Precision, recall, density and coverage: against definitions, torch-fidelity, closed forms; and their intervals."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

import leakfront  # noqa: F401  lets torch_fidelity be imported
from leakfront.errors import InputError
from leakfront.results.metrics import manifold, registry
from leakfront.results.metrics.coverage import Coverage
from leakfront.results.metrics.density import Density
from leakfront.results.metrics.manifold import Counts, count, share
from leakfront.results.metrics.precision import Precision
from leakfront.results.statistics.counts import clopper_pearson
from leakfront.results.statistics.estimate import Estimate
from tests.results.metrics.test_metrics import estimate as estimate_of
from tests.results.metrics.test_metrics import features

NAMES = ("precision", "recall", "density", "coverage")


def by_definition(generated: np.ndarray, real: np.ndarray, k_manifold: int = 3, k_density: int = 5) -> dict[str, float]:
    """Distance by distance, in sorted lists."""

    def radii(images: np.ndarray, k: int) -> list[float]:
        return [sorted(float(((a - b) ** 2).sum()) for j, b in enumerate(images) if j != i)[k - 1]
                for i, a in enumerate(images)]  # fmt: skip

    def inside(points: np.ndarray, centres: np.ndarray, k: int, closed: bool) -> np.ndarray:
        squared = [[float(((p - c) ** 2).sum()) for c in centres] for p in points]
        return np.array([[d < r or d == 0 or (closed and d == r) for d, r in zip(row, radii(centres, k), strict=True)]
                         for row in squared])  # fmt: skip

    near = inside(generated, real, k_density, closed=False)
    return {
        "precision": inside(generated, real, k_manifold, closed=True).any(axis=1).mean(),
        "recall": inside(real, generated, k_manifold, closed=True).any(axis=1).mean(),
        "density": near.sum() / (k_density * len(generated)),
        "coverage": near.any(axis=0).mean(),
    }


def estimates(generated: np.ndarray, real: np.ndarray, seed: int = 0) -> dict[str, Estimate]:
    return {name: estimate_of(registry.get(name)(), generated, real, seed) for name in NAMES}


def values(generated: np.ndarray, real: np.ndarray) -> dict[str, float]:
    return {name: estimate.value for name, estimate in estimates(generated, real).items()}


def grid(seed: int, images: int) -> np.ndarray:
    """Points [images, 3] of a small grid: many equal images, and equal distances everywhere."""
    return np.random.default_rng(seed).integers(0, 4, size=(images, 3)).astype(np.float64)


# Values


@pytest.mark.parametrize(
    ("generated", "real"),
    [
        (features(1, 40, 8), features(2, 30, 8, shift=0.3)),
        (grid(1, 35), grid(2, 60)),
        (grid(3, 60) + 1e7, grid(4, 30) + 1e7),
        (1e-9 * features(1, 30, 8) + 1000, 1e-9 * features(2, 40, 8) + 1000),  # lost in |x|^2 + |y|^2 - 2 x.y
    ],
)
def test_the_values_are_those_of_the_definitions(generated: np.ndarray, real: np.ndarray) -> None:
    expected = by_definition(generated, real)
    assert values(generated, real) == pytest.approx(expected, rel=1e-12)
    assert any(0 < value < 1 for value in expected.values())


@pytest.mark.parametrize("shift", [0.0, 0.3, 5.0])
def test_precision_and_recall_are_torch_fidelitys(shift: float) -> None:
    import torch
    from torch_fidelity.metric_prc import prc_features_to_metric

    x, y = features(1, 300, 16), features(2, 200, 16, shift)
    theirs = prc_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), prc_neighborhood=3, prc_batch_size=1000, save_cpu_ram=False,
        verbose=False,
    )  # fmt: skip
    ours = values(x, y)
    assert {name: ours[name] for name in ("precision", "recall")} == pytest.approx(
        {name: theirs[name] for name in ("precision", "recall")}, rel=1e-6
    )


def test_identical_sets_have_1_of_everything() -> None:
    x = features(1, 100, 8) + 1e6
    assert set(values(x, x[::-1]).values()) == {1.0}


def test_copies_have_balls_of_radius_0_that_hold_copies() -> None:
    x = np.repeat(features(1, 10, 8), 7, axis=0)  # seven of each, so that five others are 0 apart
    assert values(x, x) == {"precision": 1.0, "recall": 1.0, "coverage": 1.0, "density": 7 / 5}
    assert set(values(x + 1e-9, x).values()) == {0.0}


def test_sets_far_apart_share_nothing_and_the_interval_has_a_width() -> None:
    for estimate in estimates(features(1, 100, 8), features(2, 50, 8) + 100).values():
        assert estimate.value == estimate.low == 0
        assert 0.02 < estimate.high < 0.1


def test_between_equal_distributions_density_is_1_and_coverage_a_matter_of_ranks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(manifold, "HALVINGS", 1)
    draws = [values(features(2 * i, 40, 3), features(2 * i + 1, 30, 3)) for i in range(400)]
    expected = {"density": 1.0, "coverage": 1 - comb(29, 5) / comb(69, 5)}
    for name, expectation in expected.items():
        found = [draw[name] for draw in draws]
        assert abs(np.mean(found) - expectation) < 3 * np.std(found) / np.sqrt(400)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = features(1, 65, 4), features(2, 130, 4, shift=0.1)
    at_once = estimates(x, y)
    monkeypatch.setattr(manifold, "_BLOCK", 7 * 130)
    assert estimates(x, y) == at_once


# Refusals


def test_each_half_must_have_k_neighbours() -> None:
    assert Density().minimum(8) == 20
    assert Coverage(k=30).minimum(8) == 62
    x = features(1, 62, 8)
    assert estimate_of(Coverage(k=30), x, x, 0).value == 1
    with pytest.raises(
        InputError,
        match=r"coverage_k30 of 8-dimensional features needs at least 62 images .* got 61 generated and 62 real",
    ):
        estimate_of(Coverage(k=30), x[1:], x, 0)
    with pytest.raises(InputError, match=r"metrics\.precision\.k is 0; it must be at least 1"):
        Precision(k=0)


# Intervals


def test_halves_are_counted_as_sets_of_their_own() -> None:
    x, y = grid(1, 41), grid(2, 36)
    rng = np.random.default_rng(7)
    of_points, of_centres = manifold._subsets(41, rng), manifold._subsets(36, rng)
    found = count(x, y, 3, seed=7, closed=True)
    for half in (0, 1, 2, 39, 40):
        expected = by_definition(x[of_points[half]], y[of_centres[half]])["precision"]
        assert found.held[half] / found.points[half] == pytest.approx(expected, rel=1e-12)
    assert (of_points[1] ^ of_points[2]).all()
    assert (of_centres[39] ^ of_centres[40]).all()
    assert set(found.points[1:]) == {20, 21}


def test_a_share_of_independent_images_has_clopper_and_pearsons_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifold, "QUANTILE", 1.96)
    for held in (0, 3, 50):
        assert share(np.full(41, held / 50), 50)[1:3] == pytest.approx(clopper_pearson(held, 50))
    spread = np.array([0.5] + [0.5, 0.7] * 20)  # their variance is 0.02, the binomial one of 25 images 0.0096
    assert share(spread, 50)[1:3] == pytest.approx(share(np.full(41, 0.5), 24)[1:3])


def test_density_has_garwoods_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    def interval(pairs: list[int]) -> tuple[float, ...]:
        counts = Counts(np.array([100] + [50] * 40), *[np.zeros(41, int)] * 3, np.array(pairs))
        monkeypatch.setattr("leakfront.results.metrics.density.count", lambda *_, **__: counts)
        return estimate_of(Density(), np.zeros((100, 2)), np.zeros((100, 2)), 0)[:3]

    assert interval([0] * 41) == pytest.approx((0.0, 0.0, 0.03689), abs=1e-5)  # -ln 0.025 images
    assert interval([10] + [5] * 40) == pytest.approx((0.02, 0.00959, 0.03678), abs=1e-5)  # of 10 pairs: 4.795, 18.39
    value, low, high = interval([500] + [225, 275] * 20)  # variance 0.02 of a half, 0.01 of all
    assert (value, high - low) == pytest.approx((1.0, 2 * 2.09 * 0.1), rel=0.06)
