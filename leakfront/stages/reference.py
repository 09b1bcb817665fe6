"""What the utility metrics compare with: the fitted extractor, the reference features, the ends of the scale."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from leakfront.errors import InputError
from leakfront.layout import Layout
from leakfront.plan import Plan
from leakfront.pool import Pool
from leakfront.seeds import derive_seed
from leakfront.store import stored_key, writing
from results.image_set import ImageSet
from results.rows import Row

HELD_OUT, NOISE = "(held-out images)", "(noise)"


def make_reference(plan: Plan, layout: Layout, pool: Pool) -> None:
    """Fit the extractor on images outside the pool, and measure real images and pure noise against the reference."""
    if stored_key(layout.reference) == plan.reference_key:
        return
    extractor = plan.extractor
    seed = derive_seed(plan.config.seed, "features")
    extractor.fit(pool.extractor_images, pool.extractor_labels, seed)
    real = extractor.extract(pool.reference_images)
    rng = np.random.default_rng(derive_seed(plan.config.seed, "noise"))
    shape = (plan.config.sampling.images, *pool.images.shape[1:])
    noise = rng.integers(0, 256, shape, dtype=np.uint8)
    of_pool = extractor.extract(pool.images)
    asked = np.arange(len(noise)) % len(pool.classes)
    ends = {
        HELD_OUT: ImageSet.of(of_pool, known_labels(pool.labels)),
        NOISE: ImageSet.of(extractor.extract(noise), known_labels(asked)),
    }
    reference = ImageSet.of(real, known_labels(pool.reference_labels))
    rows = [row for name, images in ends.items() for row in utility_rows(plan, images, reference, "", name, "", "all")]
    with writing(layout.reference, plan.reference_key) as place:
        extractor.save(place / "extractor.safetensors")
        save_file({"reference": real, "pool": of_pool}, place / "features.safetensors")
        facts = {"accuracy": getattr(extractor, "accuracy", None)}
        (place / "rows.json").write_text(json.dumps([vars(row) for row in rows]))
        (place / "reference.json").write_text(json.dumps(facts, indent=1))


def check_image_counts(plan: Plan, pool: Pool) -> None:
    """Refuse numbers of images that are too small for a metric on the chosen features."""
    for metric in plan.metrics:
        need = metric.minimum(plan.extractor.dimensions)
        counts = {
            "sampling.images": plan.config.sampling.images,
            "data.reference": len(pool.reference_images),
            "data.pool": len(pool),
        }
        for key, count in counts.items():
            if count < need:
                raise InputError(
                    f"{metric.name} on {plan.extractor.name!r} features of {plan.extractor.dimensions} dimensions "
                    f"needs at least {need} images, but {key} gives {count}"
                )


def known_labels(labels: np.ndarray) -> np.ndarray | None:
    """Labels of a set of images, int64 [N]; None if all are 0, as where there are no classes."""
    return labels if labels.any() else None


def utility_rows(
    plan: Plan, generated: ImageSet, real: ImageSet, cell: str, defense: str, params: str, split: str
) -> list[Row]:
    """One row for each metric of generated against real images."""
    rows = []
    for metric in plan.metrics:
        estimate = metric.estimate(generated, real, derive_seed(plan.config.seed, "metric", metric.name))
        rows.append(
            Row(
                plan.config.name,
                cell,
                plan.config.data.dataset,
                plan.model.name,
                defense,
                params,
                split,
                "utility",
                metric.name,
                f"{metric.name}_{plan.extractor.name}",
                estimate.value,
                estimate.low,
                estimate.high,
                estimate.method,
                len(generated),
                metric.higher_is_better,
            )
        )
    return rows


def load_reference(plan: Plan, layout: Layout) -> tuple[Any, np.ndarray]:
    """(the fitted extractor, features of the reference images float64 [N_R, d])."""
    plan.extractor.load(layout.reference / "extractor.safetensors")
    return plan.extractor, load_file(layout.reference / "features.safetensors")["reference"]


def load_pool_features(layout: Layout) -> np.ndarray:
    """Features of the pool images, float64 [P, d]."""
    return load_file(layout.reference / "features.safetensors")["pool"]


def reference_rows(layout: Layout) -> list[Row]:
    """The rows of held-out images and noise."""
    return [Row(**row) for row in json.loads((layout.reference / "rows.json").read_text())]
