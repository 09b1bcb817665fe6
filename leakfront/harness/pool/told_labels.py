"""What class-conditional models are told of each image: its class, or something else in its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from leakfront.harness.pool.pool import Pool
from leakfront.seeds import derive_seed

Labels = Literal["class", "none", "random", "unique"]
RANDOM_LABELS = 10


def told(pool: Pool, labels: Labels, seed: int) -> Pool:
    """The pool with the labels that models are told in place of the classes; the pool itself if these are the classes.

    "none": one label for all images. "random": one of 10, drawn for each image in and outside the pool alike. "unique":
    each pool image has a label of its own, its number, and all images outside the pool share one more. Labels depend on
    the seed alone: they are the same in every split, for members and decoys alike.
    """
    if labels == "class":
        return pool
    count = {"none": 1, "random": RANDOM_LABELS, "unique": len(pool) + 1}[labels]

    def of_all(part: str, size: int) -> np.ndarray:
        if labels == "random":
            return np.random.default_rng(derive_seed("random labels", seed, part)).integers(count, size=size)
        return np.full(size, count - 1)

    return replace(
        pool,
        labels=np.arange(len(pool)) if labels == "unique" else of_all("pool", len(pool)),
        reference_labels=of_all("reference", len(pool.reference_images)),
        extractor_labels=of_all("extractor", len(pool.extractor_images)),
        classes=tuple(map(str, range(count))),
    )
