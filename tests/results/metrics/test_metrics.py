"""The utility metrics: each against its reference on the same features, and all of them against one contract."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.linalg import sqrtm

import leakfront  # noqa: F401  lets torch_fidelity be imported
from leakfront import testing
from leakfront.errors import InputError
from leakfront.results.metrics import Metric, fid, registry
from leakfront.results.metrics.fid import FID, Moments, frechet_distance
from leakfront.results.metrics.image_set import ImageSet
from leakfront.results.metrics.kid import KID, polynomial_kernel, polynomial_mmd, subset_mmds
from leakfront.results.statistics.estimate import Estimate


def features(seed: int, count: int, dimensions: int, shift: float = 0.0) -> np.ndarray:
    """Correlated, rectified normal features [count, dimensions], the same distribution for every seed."""
    mixing = np.random.default_rng(0).normal(size=(dimensions, dimensions)) / np.sqrt(dimensions)
    normal = np.random.default_rng([1, seed]).normal(size=(count, dimensions))
    rectified: np.ndarray = np.maximum(normal @ mixing + 0.5, 0.0)
    return rectified + shift


def estimate(metric: Metric, generated: np.ndarray, real: np.ndarray, seed: int = 0) -> Estimate:
    """The metric of features in memory; an image's class is whether its first feature is above the set's median."""
    sets = [ImageSet.of(rows, (rows[:, 0] > np.median(rows[:, 0])).astype(np.int64)) for rows in (generated, real)]
    return metric.estimate(*sets, seed)


def moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows.mean(axis=0), np.cov(rows, rowvar=False)


# The contract of every metric


@pytest.fixture(params=registry.names())
def metric(request: pytest.FixtureRequest) -> Metric:
    plugin: Metric = registry.get(request.param)()
    return plugin


def test_a_metric_prefers_identical_sets_and_punishes_a_shift(metric: Metric) -> None:
    real = features(1, 300, 8)
    sign = 1.0 if metric.higher_is_better else -1.0
    identical, fresh, near, far = (
        sign * estimate(metric, generated, real, seed=0).value
        for generated in (real, features(2, 300, 8), features(2, 300, 8, shift=0.5), features(2, 300, 8, shift=3.0))
    )
    assert identical >= max(fresh, near, far)
    assert fresh > near >= far
    assert identical > far


def test_a_metric_is_deterministic_and_its_interval_holds_its_value(metric: Metric) -> None:
    generated, real = features(1, 200, 8), features(2, 150, 8, shift=0.1)
    found = estimate(metric, generated, real, seed=3)
    assert found == estimate(metric, generated, real, seed=3)
    assert found.low < found.value < found.high
    assert found.method


def test_a_metric_keeps_to_the_contract(metric: Metric) -> None:
    testing.check_metric(metric)


def test_a_metric_takes_its_minimum_of_images_and_refuses_one_fewer(metric: Metric) -> None:
    needed = metric.minimum(8)
    enough, fewer = features(1, needed, 8), features(2, needed - 1, 8)
    assert np.isfinite(estimate(metric, enough, enough + 0.1, seed=0)[:3]).all()
    for generated, real in ((fewer, enough), (enough, fewer)):
        with pytest.raises(InputError, match=rf"{metric.name}.* {needed} "):
            estimate(metric, generated, real, seed=0)


def test_a_metric_stays_in_the_range_that_it_states(metric: Metric) -> None:
    real = features(1, 100, 8)
    for generated in (real, features(2, 100, 8), real + 100.0):
        value = estimate(metric, generated, real).value
        assert metric.floor is None or value >= metric.floor
        assert metric.ceiling is None or value <= metric.ceiling
    assert registry.get("kid").floor is None  # which is below 0 half of the time between equal distributions


def test_naming_a_metric_or_an_extractor_does_not_import_torch() -> None:
    metrics = [f"leakfront.results.metrics.{name}" for name in registry.names()]
    plugins = ", ".join(
        [
            *metrics,
            *(f"leakfront.results.features.{name}" for name in ("embedded", "digits_frozen", "inception", "dinov2")),
        ]
    )
    program = f"import sys, {plugins}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# FID


@pytest.mark.parametrize(("generated", "real", "dimensions"), [(2048, 500, 64), (100, 90, 64), (40, 5000, 3)])
def test_fid_is_torch_fidelitys_and_the_matrix_square_roots(generated: int, real: int, dimensions: int) -> None:
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    x, y = features(1, generated, dimensions), features(2, real, dimensions, shift=0.2)
    value = estimate(FID(), x, y, seed=0).value

    statistics = [fid_features_to_statistics(torch.from_numpy(rows)) for rows in (x, y)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert value == pytest.approx(theirs, rel=1e-8)

    (mu1, s1), (mu2, s2) = moments(x), moments(y)
    root = np.trace(sqrtm(s1 @ s2)).real
    assert value == pytest.approx(((mu1 - mu2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * root, rel=1e-8)


def test_the_frechet_distance_of_gaussians_has_its_closed_forms() -> None:
    rng = np.random.default_rng(0)
    mu1, mu2 = rng.normal(size=(2, 5))
    basis = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    w1, w2 = rng.uniform(0.1, 3, size=(2, 5))
    s1, s2 = basis * w1 @ basis.T, basis * w2 @ basis.T  # they commute
    apart = ((mu1 - mu2) ** 2).sum()
    assert frechet_distance(mu1, s1, mu2, s1) == pytest.approx(apart)
    assert frechet_distance(mu1, s1, mu2, s2) == pytest.approx(apart + ((np.sqrt(w1) - np.sqrt(w2)) ** 2).sum())
    assert frechet_distance(mu1, 0 * s1, mu2, s2) == pytest.approx(apart + w2.sum())


def test_the_frechet_distance_is_symmetric_and_zero_between_equals() -> None:
    first, second = moments(features(1, 100, 16)), moments(features(2, 100, 16))
    assert frechet_distance(*first, *second) == pytest.approx(frechet_distance(*second, *first), rel=1e-12)
    assert frechet_distance(*first, *first) == pytest.approx(0.0, abs=1e-12 * np.trace(first[1]))


def test_both_ways_to_the_frechet_distance_agree_in_value_and_derivative() -> None:
    s1, s2 = (np.cov(features(seed, 300, 24), rowvar=False) for seed in (0, 1))
    quick, exact = fid._couple_by_cholesky(s1, s2, derivative=True), fid._couple_by_roots(s1, s2)
    assert quick is not None
    assert quick.trace == pytest.approx(exact.trace, rel=1e-13)
    assert quick.trace == fid._couple(s1, s2, derivative=True).trace
    for side in ("whitened1", "whitened2"):  # the maps between both Gaussians
        maps = [(way := getattr(c, side)) * c.singular @ way.T for c in (quick, exact)]
        np.testing.assert_allclose(*maps, rtol=0, atol=1e-11 * np.abs(maps[0]).max())
    for start, end, side in ((s1, s2, quick.whitened1), (s2, s1, quick.whitened2)):
        transport = side * quick.singular @ side.T
        np.testing.assert_allclose(transport @ start @ transport, end, atol=1e-12)


@pytest.mark.parametrize("fault", ["dead", "doubled", "nearly dead", "dead on the other side"])
def test_covariances_without_a_safe_factor_take_the_way_of_roots(fault: str) -> None:
    x, y = features(0, 300, 12), features(1, 300, 12)
    if fault == "dead":
        x[:, 3] = 0
    if fault == "doubled":
        x[:, 3] = x[:, 4]
    if fault == "nearly dead":
        x[:, 3] *= 1e-9
    if fault == "dead on the other side":
        y[:, 3] = 0
    (mu1, s1), (mu2, s2) = moments(x), moments(y)
    assert fid._couple_by_cholesky(s1, s2, derivative=False) is None
    root = np.sqrt(np.linalg.eigvals(s1 @ s2).astype(complex)).real.sum()
    expected = ((mu1 - mu2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * root
    assert frechet_distance(mu1, s1, mu2, s2) == pytest.approx(expected, rel=1e-6)


def test_dead_and_doubled_features_do_not_disturb_fid() -> None:
    x, y = features(1, 200, 6), features(2, 150, 6, shift=0.2)
    plain = estimate(FID(), x, y, seed=0)
    dead = estimate(FID(), np.pad(x, ((0, 0), (0, 3))), np.pad(y, ((0, 0), (0, 3))), seed=0)
    assert dead[:3] == pytest.approx(plain[:3], rel=1e-9)
    doubled = estimate(FID(), np.hstack([x, x]) / np.sqrt(2), np.hstack([y, y]) / np.sqrt(2), seed=0)
    assert doubled[:3] == pytest.approx(plain[:3], rel=1e-9)


def test_streamed_and_merged_moments_are_those_of_the_whole() -> None:
    rows = features(1, 500, 12) + 1e4  # far from zero, where a plain sum of squares would lose eight digits
    streamed, other = Moments(12), Moments(12)
    for batch in np.split(rows[:300], [1, 50, 50, 180]):
        streamed.add(batch)
    other.add(rows[300:])
    streamed.merge(Moments(12))
    streamed.merge(other)
    assert streamed.count == 500
    np.testing.assert_allclose(streamed.mean, rows.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(streamed.covariance, np.cov(rows, rowvar=False), rtol=1e-9, atol=1e-12)


def test_fid_wants_as_many_images_as_a_regular_covariance_needs() -> None:
    needed = FID().minimum(16)
    assert np.linalg.matrix_rank(moments(features(1, needed, 16))[1]) == 16
    assert np.linalg.matrix_rank(moments(features(1, needed - 1, 16))[1]) < 16


def test_moments_of_one_row_have_no_covariance() -> None:
    single = Moments(3)
    single.add(np.ones((1, 3)))
    with pytest.raises(ValueError, match="two rows"):
        _ = single.covariance


def test_fids_interval_is_the_one_of_leaving_each_image_out() -> None:
    x, y = features(1, 300, 4), features(2, 200, 4, shift=0.3) * [3.0, 1.0, 0.5, 0.2]

    def left_out(rows: np.ndarray, other: np.ndarray) -> float:
        values = [frechet_distance(*moments(np.delete(rows, i, 0)), *moments(other)) for i in range(len(rows))]
        return (len(rows) - 1) * float(np.var(values))

    found = estimate(FID(), x, y, seed=0)
    margin = 1.96 * np.sqrt(left_out(x, y) + left_out(y, x))
    assert found.high - found.value == pytest.approx(margin, rel=0.03)


# KID


def test_kid_is_torch_fidelitys_on_the_same_subsets() -> None:
    import torch
    from torch_fidelity.metric_kid import kid_features_to_metric

    x, y = features(1, 400, 64), features(2, 300, 64, shift=0.05)
    theirs = kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=20, kid_subset_size=200, rng_seed=7, verbose=False
    )
    values = subset_mmds(x, y, subset_size=200, subsets=20, seed=7)
    assert values.mean() == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)
    assert values.std() == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-9)
    assert estimate(KID(subset_size=200, subsets=20), x, y, seed=7).value == pytest.approx(values.mean(), rel=1e-12)


def test_kid_of_all_images_is_the_sum_over_pairs_and_its_interval_leaves_each_out() -> None:
    x, y = features(1, 30, 5), features(2, 23, 5, shift=0.2)

    def by_pairs(x: np.ndarray, y: np.ndarray) -> float:
        within = [np.mean([(a @ b / 5 + 1) ** 3 for i, a in enumerate(z) for j, b in enumerate(z) if i != j])
                  for z in (x, y)]  # fmt: skip
        return float(sum(within) - 2 * np.mean([(a @ b / 5 + 1) ** 3 for a in x for b in y]))

    found = estimate(KID(), x, y, seed=0)
    assert found.value == pytest.approx(by_pairs(x, y), rel=1e-9)
    without_x = [polynomial_mmd(np.delete(x, i, 0), y) for i in range(30)]
    without_y = [polynomial_mmd(x, np.delete(y, i, 0)) for i in range(23)]
    margin = 1.96 * np.sqrt(29 * np.var(without_x) + 22 * np.var(without_y))
    assert found.high - found.value == pytest.approx(margin, rel=1e-9)


def test_kid_in_blocks_of_rows_is_kid_at_once() -> None:
    x, y = features(1, 2100, 4), features(2, 1025, 4, shift=0.1)
    xx, yy, xy = polynomial_kernel(x, x), polynomial_kernel(y, y), polynomial_kernel(x, y)
    at_once = (xx.sum() - np.trace(xx)) / (2100 * 2099) + (yy.sum() - np.trace(yy)) / (1025 * 1024) - 2 * xy.mean()
    assert polynomial_mmd(x, y) == pytest.approx(at_once, rel=1e-9)


def test_kid_is_unbiased_where_the_distributions_are_equal() -> None:
    values = [polynomial_mmd(features(2 * i, 30, 8), features(2 * i + 1, 30, 8)) for i in range(400)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(400)
    assert min(values) < 0 < max(values)


def test_drawing_subsets_widens_kids_interval() -> None:
    x, y = features(1, 400, 8), features(2, 400, 8, shift=0.1)
    widths = [e.high - e.low for e in (estimate(m, x, y, 0) for m in (KID(), KID(100, 100), KID(100, 2)))]
    assert widths == sorted(widths)
    assert widths[0] < widths[1]


@pytest.mark.parametrize(("name", "least"), [("subset_size", 2), ("subsets", 1)])
def test_kid_refuses_subsets_it_is_not_defined_for(name: str, least: int) -> None:
    with pytest.raises(InputError, match=rf"metrics\.kid\.{name} is {least - 1}; it must be at least {least}"):
        KID(**{name: least - 1})


def test_fid_and_kid_are_torchmetrics() -> None:
    import torch

    fid, kid = pytest.importorskip("torchmetrics.image.fid"), pytest.importorskip("torchmetrics.image.kid")
    x, y = features(1, 300, 16), features(2, 300, 16, shift=0.1)
    given = torch.nn.Identity()
    given.num_features = 16  # type: ignore[assignment]
    for theirs, ours in (
        (fid.FrechetInceptionDistance(feature=given), FID()),
        (kid.KernelInceptionDistance(feature=given, subsets=1, subset_size=300), KID()),
    ):
        theirs.update(torch.from_numpy(y), real=True)
        theirs.update(torch.from_numpy(x), real=False)
        found = theirs.compute()
        value = float(found[0] if isinstance(found, tuple) else found)
        assert estimate(ours, x, y).value == pytest.approx(value, rel=1e-8)
