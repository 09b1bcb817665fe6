"""The utility metrics of image sets, and of the two ends of their scale: held-out real images, and noise."""

from __future__ import annotations

import json

import numpy as np

from leakfront.errors import InputError
from leakfront.harness.plan.plan import Plan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.features import noise_set, pool_set, reference_set
from leakfront.harness.store.artifacts import stored_key, writing
from leakfront.harness.store.layout import Layout
from leakfront.results.metrics import row_metric
from leakfront.results.metrics.image_set import ImageSet
from leakfront.results.run.rows import ALL, HELD_OUT, NOISE, Row, measured
from leakfront.seeds import derive_seed


def make_reference(plan: Plan, layout: Layout, pool: Pool) -> None:
    """Measure real images, the pool's, and pure noise against the reference."""
    if stored_key(layout.reference) == plan.reference_key:
        return
    ends, reference = {HELD_OUT: pool_set(layout, pool), NOISE: noise_set(layout, pool)}, reference_set(layout, pool)
    rows = [row for name, images in ends.items() for row in utility_rows(plan, images, reference, "", name, "", ALL)]
    with writing(layout.reference, plan.reference_key) as place:
        (place / "rows.json").write_text(json.dumps([vars(row) for row in rows]))


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


def check_labels(plan: Plan, pool: Pool) -> None:
    """Refuse metrics that need classes where images or samples have none."""
    for metric in plan.metrics:
        if not metric.needs_labels:
            continue
        if not getattr(plan.model, "conditional", False):
            can = hasattr(plan.model, "conditional")
            remedy = "set model.conditional = true, or" if can else f"{plan.model.name!r} models have no classes, so"
            raise InputError(
                f"metrics.names has {metric.name!r}, which needs samples asked for by class; {remedy} take it out"
            )
        classes, images = len(pool.classes), plan.config.sampling.images
        if any((np.bincount(labels) > 1).sum() < 2 for labels in (pool.labels, pool.reference_labels)):
            raise InputError(
                f"metrics.names has {metric.name!r}, which needs 2 images each of at least 2 classes in the pool and "
                f"in the reference; data.dataset = {plan.config.data.dataset!r} gives fewer, so take it out"
            )
        if images < 2 * classes:
            raise InputError(
                f"metrics.names has {metric.name!r}, which needs 2 samples of each of the {classes} classes, but "
                f"sampling.images is {images}; it must be at least {2 * classes}"
            )


def utility_rows(
    plan: Plan, generated: ImageSet, real: ImageSet, cell: str, defense: str, params: str, split: str
) -> list[Row]:
    """One row for each metric of generated against real images."""
    rows = []
    for metric in plan.metrics:
        estimate = metric.estimate(generated, real, derive_seed(plan.config.seed, "metric", metric.name))
        rows.append(
            Row(
                run=plan.config.name,
                cell=cell,
                dataset=plan.config.data.dataset,
                model=plan.model.name,
                defense=defense,
                params=params,
                split=split,
                kind="utility",
                source=metric.name,
                metric=row_metric(metric, plan.features),
                **measured(estimate),
                n=len(generated),
                higher_is_better=metric.higher_is_better,
            )
        )
    return rows


def reference_rows(layout: Layout) -> list[Row]:
    """The rows of held-out images and noise."""
    return [Row(**row) for row in json.loads((layout.reference / "rows.json").read_text())]
