"""The utility metrics of image sets, and of the two ends of their scale: held-out real images, and noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from leakfront.harness.plan.plan import Plan
from leakfront.harness.stages.extractor import noise_set, pool_set, reference_set
from leakfront.harness.stages.stage import Files, Stage, Subject, Work
from leakfront.harness.stages.stored_json import read_stored_rows
from leakfront.harness.store.code_keys import plugin_code
from leakfront.harness.store.layout import Layout
from leakfront.results.metrics import Metric, row_metric, row_name
from leakfront.results.metrics.at_number import at_number
from leakfront.results.metrics.image_set import ImageSet
from leakfront.results.run.rows import ALL, AT_SAMPLES, HELD_OUT, NOISE, OF_FIT, Row, measured
from leakfront.results.statistics.fits import over_fits
from leakfront.seeds import derive_seed


def _settings(subject: Subject) -> list[Any]:
    plan = subject.plan
    named = [plan.config.name, plan.data_name, plan.model.label]  # in every row
    return [*named, *(row_name(metric) for metric in plan.metrics)]


def _code(subject: Subject) -> list[str]:
    return [name for metric in subject.plan.metrics for name in plugin_code(metric)]


def _run(work: Work) -> Files:
    """Measure real images, the pool's, and pure noise against the reference."""
    plan, layout, pool = work.plan, work.layout, work.pool
    held_out, noise, reference = pool_set(layout, pool), noise_set(layout, pool), reference_set(layout, pool)
    rows = utility_rows(plan, held_out, reference, "", HELD_OUT, "", ALL)
    rows += _at_samples(plan, rows, held_out, reference)
    rows += utility_rows(plan, noise, reference, "", NOISE, "", ALL)
    return {"rows.json": [vars(row) for row in rows]}


REFERENCE = Stage("reference", "run", inputs=("extractor",), settings=_settings, code=_code, run=_run)


def _at_samples(plan: Plan, rows: list[Row], held_out: ImageSet, reference: ImageSet) -> list[Row]:
    """The metrics of held-out images that fall with their number, as they would be at a model's number of samples."""
    of_row, images, more = {row.metric: row for row in rows}, plan.config.sampling.images, []
    for metric in plan.metrics:
        pairs = zip(held_out.of_each_fit(), reference.of_each_fit(), strict=True)
        found = [at_number(metric, *pair, images, _seed(plan, metric)) for pair in pairs]
        if known := [estimate for estimate in found if estimate is not None]:
            row = of_row[row_metric(metric, plan.features)]
            estimate = over_fits(known, metric.floor, metric.ceiling)
            more.append(replace(row, metric=f"{row.metric}{AT_SAMPLES}", **measured(estimate), n=images))
    return more


def utility_rows(
    plan: Plan, generated: ImageSet, real: ImageSet, cell: str, defense: str, params: str, split: str
) -> list[Row]:
    """One row for each metric of generated against real images: the mean over fits of the extractor.

    If there are several fits, a row for each follows.
    """
    rows = []
    for metric in plan.metrics:
        seed = _seed(plan, metric)
        pairs = zip(generated.of_each_fit(), real.of_each_fit(), strict=True)
        of_fits = [metric.estimate(*pair, seed) for pair in pairs]
        row = Row(
            run=plan.config.name,
            cell=cell,
            dataset=plan.data_name,
            model=plan.model.label,
            defense=defense,
            params=params,
            split=split,
            kind="utility",
            source=metric.name,
            metric=row_metric(metric, plan.features),
            **measured(over_fits(of_fits, metric.floor, metric.ceiling)),
            n=len(generated),
            higher_is_better=metric.higher_is_better,
        )
        rows.append(row)
        if len(of_fits) > 1:
            rows += [
                replace(row, metric=f"{row.metric}{OF_FIT}", level=float(number), **measured(estimate))
                for number, estimate in enumerate(of_fits, start=1)
            ]
    return rows


def _seed(plan: Plan, metric: Metric) -> int:
    return derive_seed(plan.config.seed, "metric", metric.name)


def reference_rows(layout: Layout) -> list[Row]:
    """The rows of held-out images and noise."""
    return read_stored_rows(layout.reference / "rows.json")
