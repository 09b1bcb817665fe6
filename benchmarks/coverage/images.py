"""Intervals of the utility metrics; the truth is the metric's expectation at the same numbers of images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.coverage import AT_LEAST, NOMINAL, Draw, Promise, Simulation, seed_from, simulated
from leakfront.results.metrics import Metric
from leakfront.results.metrics.classifier_accuracy import ClassifierAccuracy
from leakfront.results.metrics.coverage import Coverage
from leakfront.results.metrics.density import Density
from leakfront.results.metrics.fid import FID
from leakfront.results.metrics.image_set import ImageSet
from leakfront.results.metrics.kid import KID
from leakfront.results.metrics.precision import Precision
from leakfront.results.metrics.recall import Recall

FEATURES = 64
_MIXING = np.random.default_rng(0).normal(size=(FEATURES, FEATURES)) / np.sqrt(FEATURES)

Images = Callable[[np.random.Generator, int], np.ndarray]


def rectified(rng: np.random.Generator, images: int) -> np.ndarray:
    """Features like those of a network's last layer: correlated, and not negative."""
    mixed: np.ndarray = np.maximum(rng.standard_normal((images, FEATURES)) @ _MIXING + 0.5, 0.0)
    return mixed


def heavy(rng: np.random.Generator, images: int) -> np.ndarray:
    """Student's t with 6 degrees of freedom, correlated."""
    mixed: np.ndarray = rng.standard_t(6, (images, FEATURES)) @ _MIXING
    return mixed


def drawn(metric: Metric, images: Images, generated: int, real: int, shift: float) -> Draw:
    """The metric of two new samples; the generated one is moved by `shift` and wider by half of that share."""

    def draw(rng: np.random.Generator) -> tuple[object, ...]:
        made = images(rng, generated) * (1 + shift / 2) + shift
        return metric.estimate(ImageSet.of(made), ImageSet.of(images(rng, real)), seed_from(rng))

    return draw


def _simulation(
    metric: Metric, where: str, images: Images, sizes: tuple[int, int], shift: float, promise: Promise, wide: float
) -> Simulation:
    kind = "features with heavy tails" if images is heavy else "rectified features"
    truth = "equal distributions" if shift == 0 else f"shifted by {shift:g}"
    conditions = f"{truth}, {sizes[0]:,} generated and {sizes[1]} real images, {FEATURES} {kind}"
    measure = simulated(drawn(metric, images, *sizes, shift))
    return Simulation(metric.name, conditions, f"leakfront/results/metrics/{where}.py", promise, measure, wide)


CLASSES, DIMENSIONS = 4, 16
_APART = 2.0  # standard deviations between a class and the middle of all
_MEANS, _MOVES = np.random.default_rng(7).normal(size=(2, CLASSES, DIMENSIONS)) / np.sqrt(DIMENSIONS)


def classified(images: int, moved: float) -> Draw:
    """Classifier accuracy of two new samples of `images` images each, normal around the means of their classes.

    Every class of the generated images is moved by `moved` standard deviations, in a direction of its own.
    """

    def draw(rng: np.random.Generator) -> tuple[object, ...]:
        asked, found = np.arange(images) % CLASSES, rng.integers(0, CLASSES, images)  # of real images at random
        noise = rng.standard_normal((2, images, DIMENSIONS))
        generated = ImageSet.of((_APART * _MEANS + moved * _MOVES)[asked] + noise[0], asked)
        return ClassifierAccuracy().estimate(
            generated, ImageSet.of(_APART * _MEANS[found] + noise[1], found), seed_from(rng)
        )

    return draw


def _of_classes(truth: str, moved: float) -> Simulation:
    conditions = f"{truth}, 200 generated and 200 real images of {CLASSES} classes, {DIMENSIONS} normal features"
    where = "leakfront/results/metrics/classifier_accuracy.py"
    return Simulation(ClassifierAccuracy.name, conditions, where, AT_LEAST, simulated(classified(200, moved)), 1.4)


_ALL, _FEW = (2048, 800), (512, 200)  # as on digits; and fewer, for speed
SIMULATIONS = [
    _simulation(FID(), "fid", rectified, _ALL, 0.2, NOMINAL, 1.15),
    _simulation(FID(), "fid", rectified, _FEW, 0.0, AT_LEAST, 1.5),
    _simulation(FID(), "fid", heavy, _FEW, 0.2, AT_LEAST, 1.2),
    _simulation(KID(), "kid", rectified, _FEW, 0.2, NOMINAL, 1.15),
    _simulation(KID(), "kid", rectified, _FEW, 0.0, AT_LEAST, 1.5),
    _simulation(KID(), "kid", heavy, _FEW, 0.2, NOMINAL, 1.2),
    *(
        _simulation(metric, metric.name, rectified, (256, 200), shift, promise, 1.4)
        for metric, shift, promise in (
            (Precision(), 0.0, AT_LEAST),  # a share: the Clopper-Pearson interval is rather too wide
            (Precision(), 0.2, AT_LEAST),
            (Recall(), 0.2, AT_LEAST),
            (Density(), 0.2, NOMINAL),
            (Coverage(), 0.2, AT_LEAST),
        )
    ),
    _of_classes("equal distributions", 0.0),  # a share, as above
    _of_classes("generated classes moved by 2 standard deviations", 2.0),
]
