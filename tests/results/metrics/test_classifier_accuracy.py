"""Classifier accuracy: against closed forms and its objective, its interval, and what it is refused for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax
from scipy.stats import norm

from leakfront.errors import InputError
from leakfront.harness.run import check_everything
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.store.layout import Layout
from leakfront.results.metrics.classifier_accuracy import ClassifierAccuracy, accuracy
from leakfront.results.metrics.image_set import ImageSet
from leakfront.results.metrics.manifold import HALVINGS, halves_variance, share
from leakfront.results.statistics.estimate import Estimate
from tests.small_config import small


def gaussians(means: np.ndarray, labels: np.ndarray, seed: int, scale: float = 1.0) -> ImageSet:
    """An image of each label, normal around its class's mean [d]."""
    noise = np.random.default_rng(seed).normal(size=(len(labels), means.shape[1]))
    return ImageSet.of(means[labels] + scale * noise, labels)


def drawn(classes: int, images: int, seed: int) -> np.ndarray:
    """Random labels, as real images have them."""
    return np.random.default_rng([seed, 1]).integers(0, classes, images)


def asked(classes: int, images: int) -> np.ndarray:
    """The labels in turn, as samples are asked for."""
    return np.arange(images) % classes


def estimate(generated: ImageSet, real: ImageSet, seed: int = 0) -> Estimate:
    return ClassifierAccuracy().estimate(generated, real, seed)


# Values


def test_with_many_images_it_is_the_accuracy_of_the_best_linear_boundary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leakfront.results.metrics.classifier_accuracy.HALVINGS", 1)
    means = np.array([[1.0, 0.5, 0.0], [-1.0, -0.5, 0.0]])
    half = np.linalg.norm(means[0] - means[1]) / 2
    along = (means[0] - means[1]) / (2 * half)
    real = gaussians(means, drawn(2, 20_000, 1), seed=1, scale=2.0)
    same, moved = (gaussians(means + shift * along, asked(2, 20_000), seed=2) for shift in (0.0, 1.5))
    # narrower than the real ones, which leaves the boundary in the middle; the moved ones take it along
    assert estimate(same, real).value == pytest.approx(norm.cdf(half / 2), abs=0.01)
    both_sides = norm.cdf((half - 1.5) / 2) / 2 + norm.cdf((half + 1.5) / 2) / 2
    assert estimate(moved, real).value == pytest.approx(both_sides, abs=0.01)


def test_it_is_the_minimum_of_the_penalized_likelihood_of_standardized_features() -> None:
    means = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    train, test = gaussians(means, asked(3, 60), seed=1), gaussians(means, drawn(3, 400, 2), seed=2)
    x, y, x_test = train.matrix() * (1, 10, 100), asked(3, 60), test.matrix() * (1, 10, 100)
    mean, deviation = x.mean(axis=0), x.std(axis=0)

    def logits(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
        w = weights.reshape(3, 4)
        return (rows - mean) / deviation @ w[:, :3].T + w[:, 3]

    def objective(weights: np.ndarray) -> float:
        likelihood = log_softmax(logits(weights, x), axis=1)[np.arange(60), y].sum()
        return float((weights.reshape(3, 4)[:, :3] ** 2).sum() / 2 - likelihood)

    best = minimize(objective, np.zeros(12), method="BFGS", tol=1e-8).x
    expected = (logits(best, x_test).argmax(axis=1) == test.labels).mean()
    assert 0.5 < expected < 1
    assert accuracy(x, y, x_test, drawn(3, 400, 2)) == pytest.approx(expected, abs=1e-12)


def test_classes_that_images_do_not_show_are_guessed_by_chance_and_a_missing_one_costs_its_share() -> None:
    means = 4 * np.eye(4)
    real = gaussians(means, drawn(4, 1000, 1), seed=1)
    fair = gaussians(means, asked(4, 400), seed=2)
    unrelated = ImageSet.of(fair.matrix(), np.random.default_rng(0).permutation(asked(4, 400)))
    three = gaussians(means, asked(3, 400), seed=3)
    assert estimate(fair, real).value > 0.95
    assert estimate(unrelated, real).value < 0.6
    missing = (drawn(4, 1000, 1) == 3).mean()
    assert 0.95 - missing < estimate(three, real).value <= 1 - missing


# Intervals


def test_the_interval_is_that_of_a_share_from_halves_that_share_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    sets: list[tuple[np.ndarray, ...]] = []

    def fake(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
        np.testing.assert_array_equal(x[:, 1], y)
        np.testing.assert_array_equal(x_test[:, 1], y_test)
        sets.append((x[:, 0], x_test[:, 0], np.bincount(y)))
        return (0.5, 0.7)[len(sets) % 2]

    monkeypatch.setattr("leakfront.results.metrics.classifier_accuracy.accuracy", fake)
    labels, others = asked(3, 60), drawn(3, 41, 0)
    found = estimate(
        ImageSet.of(np.stack([np.arange(60.0), labels], axis=1), labels),
        ImageSet.of(np.stack([np.arange(41.0), others], axis=1), others),
    )
    assert len(sets) == 1 + 2 * HALVINGS
    for (train, test, classes), (train2, test2, _) in zip(sets[1::2], sets[2::2], strict=True):
        assert sorted([*train, *train2]) == list(range(60))
        assert sorted([*test, *test2]) == list(range(41))
        assert classes.tolist() == [10, 10, 10]
        assert abs(len(test) - len(test2)) == 1
    assert len({tuple(sorted(train)) for train, _, _ in sets[1:]}) == 2 * HALVINGS
    values = np.array([0.7] + [0.5, 0.7] * HALVINGS)
    assert halves_variance(values) > 0
    assert found == share(values, 41)


# Refusals


def test_images_without_classes_or_with_too_few_are_refused() -> None:
    enough = gaussians(np.eye(3), asked(3, 30), seed=0)
    for first, second in ((ImageSet.of(enough.matrix()), enough), (enough, ImageSet.of(enough.matrix()))):
        with pytest.raises(InputError, match="needs the classes of the generated and of the real images"):
            estimate(first, second)
    lonely = np.where(np.arange(30) == 4, 1, 0)
    with pytest.raises(InputError, match="two generated images each of at least 2 classes"):
        estimate(ImageSet.of(enough.matrix(), lonely), enough)


def refusal(tmp_path: Path, **changes: object) -> str:
    settings = small(metrics__names=["classifier_accuracy"], **changes)
    with pytest.raises(InputError) as caught:
        check_everything(parse_config(settings), Layout(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_run_that_has_no_classes_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    assert "class-conditional samples; set model.conditional = true, or take it out" in refusal(tmp_path)
    assert "'memorizer' models have no classes, so take it out" in refusal(tmp_path, model={"name": "memorizer"})
    rng, path = np.random.default_rng(0), tmp_path / "data.npz"
    data = {"dataset": f"npz:{path}", "pool": 96, "reference": 200}
    for classes, says in (
        (1, "needs at least 2 classes with 2 images each"),
        (45, "sampling.images is 80; it must be at least 90"),
    ):
        images = rng.integers(0, 256, (400, 8, 8)).astype(np.uint8)
        np.savez(path, images=images, labels=np.arange(400) % classes)
        assert says in refusal(tmp_path, model__conditional=True, data=data)
    check_everything(
        parse_config(small(metrics__names=["classifier_accuracy"], model__conditional=True)), Layout(tmp_path / "run")
    )
