"""Sets of images: their features in memory and in files, and metrics that hold no matrix of them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from leakfront.results.metrics import Metric, registry
from leakfront.results.metrics.fid import FID, Moments, frechet_distance
from leakfront.results.metrics.image_set import ImageSet, store_features
from tests.results.metrics.test_metrics import features


@pytest.mark.parametrize("single", [True, False])
def test_features_come_back_from_files_bit_for_bit_and_in_order(single: bool, tmp_path: Path) -> None:
    rows = features(1, 2500, 12)
    if single:
        rows = rows.astype(np.float32).astype(np.float64)
    store_features((rows[:1024], rows[1024:1030], rows[1030:1030], rows[1030:]), tmp_path / "stored")
    stored, held = ImageSet.stored(tmp_path / "stored"), ImageSet.of(rows)
    for images in (stored, held):
        assert (len(images), images.dimensions) == (2500, 12)
        np.testing.assert_array_equal(images.matrix(), rows)
        for _ in range(2):
            batches = list(images.batches())
            assert max(map(len, batches)) <= 1024
            np.testing.assert_array_equal(np.concatenate(batches), rows)
    size = sum(path.stat().st_size for path in (tmp_path / "stored").iterdir())
    assert size == pytest.approx(rows.nbytes / (2 if single else 1), rel=0.01)


def test_a_set_has_a_label_for_every_image_or_none() -> None:
    rows = features(1, 5, 3)
    assert ImageSet.of(rows).labels is None
    labels = np.arange(5)
    assert ImageSet.of(rows, labels).labels is labels
    with pytest.raises(ValueError, match=r"5 images cannot have labels \[4\]"):
        ImageSet.of(rows, labels[:4])


@pytest.mark.parametrize("name", registry.names())
def test_a_metric_is_the_same_of_features_in_files(name: str, tmp_path: Path) -> None:
    metric: Metric = registry.get(name)()
    generated, real = features(1, 1500, 8), features(2, 1100, 8, shift=0.1)
    labels = np.arange(1500) % 3, np.arange(1100) % 3
    for folder, rows in (("generated", generated), ("real", real)):
        store_features(np.array_split(rows, 7), tmp_path / folder)
    held = metric.estimate(ImageSet.of(generated, labels[0]), ImageSet.of(real, labels[1]), seed=3)
    stored = metric.estimate(
        ImageSet.stored(tmp_path / "generated", labels[0]), ImageSet.stored(tmp_path / "real", labels[1]), seed=3
    )
    assert stored[:3] == pytest.approx(held[:3], rel=1e-9)


def test_fid_and_its_interval_in_batches_are_those_of_one_matrix() -> None:
    """Against the formulas on whole matrices: NumPy's covariance, and the influence of all images at once."""
    x, y = features(1, 5000, 32), features(2, 3000, 32, shift=0.2) * np.linspace(0.5, 2, 32)
    found = FID().estimate(ImageSet.of(x), ImageSet.of(y), seed=0)
    (mu1, s1), (mu2, s2) = ((rows.mean(0), np.cov(rows, rowvar=False)) for rows in (x, y))
    assert found.value == pytest.approx(frechet_distance(mu1, s1, mu2, s2), rel=1e-9)

    def root(matrix: np.ndarray, power: float) -> np.ndarray:
        values, vectors = np.linalg.eigh(matrix)
        powered: np.ndarray = vectors * values**power @ vectors.T
        return powered

    def variance(rows: np.ndarray, mu: np.ndarray, s: np.ndarray, other_mu: np.ndarray, other_s: np.ndarray) -> float:
        half, inverse = root(s, 0.5), root(s, -0.5)
        transport = inverse @ root(half @ other_s @ half, 0.5) @ inverse
        centred = rows - mu
        influence = 2 * centred @ (mu - other_mu) + (centred**2).sum(1) - ((centred @ transport) * centred).sum(1)
        return float(influence.var(ddof=1)) / len(rows)

    margin = 1.96 * np.sqrt(variance(x, mu1, s1, mu2, s2) + variance(y, mu2, s2, mu1, s1))
    assert found.high - found.value == pytest.approx(margin, rel=1e-9)


def test_fid_of_many_images_holds_no_matrix_of_them(tmp_path: Path) -> None:
    count, dimensions = 50_000, 256

    def batches(seed: int) -> Iterator[np.ndarray]:
        rng = np.random.default_rng(seed)
        for start in range(0, count, 1000):
            yield rng.normal(size=(1000, dimensions)) + start / count

    for name, seed in (("generated", 1), ("real", 2)):
        store_features(batches(seed), tmp_path / name)
    tracemalloc.start()
    generated, real = ImageSet.stored(tmp_path / "generated"), ImageSet.stored(tmp_path / "real")
    streamed = FID().estimate(generated, real, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < count * dimensions * 8 / 8
    (mu1, s1), (mu2, s2) = ((m.mean, m.covariance) for m in map(Moments.of, (generated, real)))
    assert streamed.value == pytest.approx(frechet_distance(mu1, s1, mu2, s2), rel=1e-12)
    whole = np.cov(generated.matrix(), rowvar=False)
    np.testing.assert_allclose(s1, whole, rtol=1e-9, atol=1e-12)


def test_features_of_several_fits_are_told_apart_in_memory_and_in_files(tmp_path: Path) -> None:
    rows, labels = features(1, 1500, 12), np.arange(1500)
    store_features((rows[:1024], rows[1024:]), tmp_path / "three", fits=3)
    store_features((rows,), tmp_path / "one")
    for images in (ImageSet.stored(tmp_path / "three", labels), ImageSet((rows,), labels, fits=3)):
        assert (images.dimensions, images.fits) == (12, 3)
        np.testing.assert_array_equal(images.matrix(), rows)
        for number, of_fit in enumerate(images.of_each_fit()):
            mine = rows[:, 4 * number : 4 * number + 4]
            assert (len(of_fit), of_fit.dimensions, of_fit.fits) == (1500, 4, 1)
            np.testing.assert_array_equal(of_fit.matrix(), mine)
            np.testing.assert_array_equal(np.concatenate(list(of_fit.batches())), mine)
            assert of_fit.labels is labels
        np.testing.assert_array_equal(images.first_fit.matrix(), rows[:, :4])
    one = ImageSet.stored(tmp_path / "one")
    assert one.of_each_fit() == [one.first_fit] == [one]
