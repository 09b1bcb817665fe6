"""The fitted feature extractor, and the features of the images that all cells share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.stage import Files, Stage, Subject, Work
from leakfront.harness.store.code_keys import plugin_code
from leakfront.harness.store.layout import Layout
from leakfront.results.features import FittedExtractor
from leakfront.results.metrics.image_set import ROWS, ImageSet, store_features
from leakfront.seeds import derive_seed

FITTED = "extractor.safetensors"
IMAGE_SETS = "leakfront.results.metrics.image_set"  # the code that stores and reads all features


def _settings(subject: Subject) -> list[Any]:
    config, extractor = subject.plan.config, subject.plan.extractor
    return [extractor.name, extractor.version(), config.seed, config.sampling.images]


def _code(subject: Subject) -> list[str]:
    return [IMAGE_SETS, *plugin_code(subject.plan.extractor)]


def _run(work: Work) -> Files:
    """Fit the extractor on images outside the pool, and extract features of the reference, the pool and noise images.

    There are as many noise images as samples of a model.
    """
    plan, pool = work.plan, work.pool
    seed = derive_seed(plan.config.seed, "features")
    extractor = plan.extractor.fit(pool.extractor_images, pool.extractor_labels, seed)
    rng = np.random.default_rng(derive_seed(plan.config.seed, "noise"))
    noise = rng.integers(0, 256, (plan.config.sampling.images, *pool.images.shape[1:]), dtype=np.uint8)
    sets = {"reference": pool.reference_images, "pool": pool.images, "noise": noise}

    def write(images: np.ndarray, folder: Path) -> None:
        store_features(extracted(extractor, images, len(images)), folder, extractor.fits)

    features = {name: partial(write, images) for name, images in sets.items()}
    return {FITTED: extractor.save, **features, "extractor.json": {"accuracy": extractor.accuracy}}


EXTRACTOR = Stage("extractor", "run", inputs=("pool",), settings=_settings, code=_code, run=_run)


def extracted(extractor: FittedExtractor, images: Any, count: int) -> Iterator[np.ndarray]:
    """Yield the features of the first `count` images, in batches. images: uint8 [N, C, H, W], an array or a file's."""
    for start in range(0, count, ROWS):
        yield extractor.extract(images[start : min(start + ROWS, count)])


def reference_set(layout: Layout, pool: Pool) -> ImageSet:
    """The real images that metrics compare with."""
    return ImageSet.stored(layout.extractor / "reference", known_labels(pool.reference_labels))


def pool_set(layout: Layout, pool: Pool) -> ImageSet:
    """The pool's images, members or not."""
    return ImageSet.stored(layout.extractor / "pool", known_labels(pool.labels))


def noise_set(layout: Layout, pool: Pool) -> ImageSet:
    """Images of pure noise, as many as a model's samples, with the class labels of a conditional model's samples."""
    noise = ImageSet.stored(layout.extractor / "noise")
    return replace(noise, labels=known_labels(np.arange(len(noise)) % len(pool.classes)))


def known_labels(labels: np.ndarray) -> np.ndarray | None:
    """The labels, int64 [N], or None if all are 0, which means that there are no classes."""
    return labels if labels.any() else None
