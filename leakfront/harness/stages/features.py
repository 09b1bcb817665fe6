"""One pass of the feature extractor over each set of images; metrics and attacks read the features that it stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from safetensors import safe_open

from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.store.artifacts import stored_key, writing
from leakfront.harness.store.layout import Layout
from leakfront.results.features import FittedExtractor
from leakfront.results.metrics.image_set import ROWS, ImageSet, store_features
from leakfront.seeds import derive_seed

_FITTED = "extractor.safetensors"


def fit_extractor(plan: Plan, layout: Layout, pool: Pool) -> None:
    """Fit the extractor on images outside the pool; features of the reference, of the pool and of as much noise."""
    if stored_key(layout.extractor) == plan.extractor_key:
        return
    seed = derive_seed(plan.config.seed, "features")
    extractor: FittedExtractor = plan.extractor.fit(pool.extractor_images, pool.extractor_labels, seed)
    rng = np.random.default_rng(derive_seed(plan.config.seed, "noise"))
    noise = rng.integers(0, 256, (plan.config.sampling.images, *pool.images.shape[1:]), dtype=np.uint8)
    with writing(layout.extractor, plan.extractor_key) as place:
        extractor.save(place / _FITTED)
        for name, images in (("reference", pool.reference_images), ("pool", pool.images), ("noise", noise)):
            store_features(_extracted(extractor, images, len(images)), place / name)
        (place / "extractor.json").write_text(json.dumps({"accuracy": extractor.accuracy}, indent=1))


def extract_features(plan: Plan, cell: CellPlan, layout: Layout) -> None:
    """The features of a cell's samples; at most 1,024 images and their features are in memory at a time."""
    folder, key = layout.stage(cell.name, "features"), cell.keys["features"]
    if stored_key(folder) == key:
        return
    extractor = plan.extractor.load(layout.extractor / _FITTED)
    samples = layout.stage(cell.name, "sample") / "samples.safetensors"
    with safe_open(samples, framework="numpy") as file, writing(folder, key) as place:
        images = file.get_slice("images")
        store_features(_extracted(extractor, images, images.get_shape()[0]), place)


def _extracted(extractor: FittedExtractor, images: Any, count: int) -> Iterator[np.ndarray]:
    """Features of `count` images, uint8 [N, C, H, W], which lie in an array or in a file's slice."""
    for start in range(0, count, ROWS):
        yield extractor.extract(images[start : min(start + ROWS, count)])


def sample_set(cell: CellPlan, layout: Layout) -> ImageSet:
    """A cell's samples, with the classes that they were asked for."""
    from leakfront.harness.stages.sample import (
        load_sample_labels,  # late: it imports torch, which planning a run does not need
    )

    return ImageSet.stored(layout.stage(cell.name, "features"), _known(load_sample_labels(cell, layout)))


def reference_set(layout: Layout, pool: Pool) -> ImageSet:
    """The real images that metrics compare with."""
    return ImageSet.stored(layout.extractor / "reference", _known(pool.reference_labels))


def pool_set(layout: Layout, pool: Pool) -> ImageSet:
    """The pool's images, members or not."""
    return ImageSet.stored(layout.extractor / "pool", _known(pool.labels))


def noise_set(layout: Layout, pool: Pool) -> ImageSet:
    """As many images of pure noise as a model's samples, in classes as those of a conditional model are asked for."""
    noise = ImageSet.stored(layout.extractor / "noise")
    return ImageSet(noise.parts, _known(np.arange(len(noise)) % len(pool.classes)))


def _known(labels: np.ndarray) -> np.ndarray | None:
    """Labels int64 [N]; None if all are 0, which stands for no classes."""
    return labels if labels.any() else None
