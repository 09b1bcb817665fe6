"""The utility metrics of image sets, and of the two ends of their scale: held-out real images, and noise."""

from __future__ import annotations

import json
from dataclasses import replace

from leakfront.harness.plan.plan import Plan
from leakfront.harness.stages.extractor import noise_set, pool_set, reference_set
from leakfront.harness.stages.stage import Files, Stage, Subject, Work
from leakfront.harness.store.code_keys import plugin_code
from leakfront.harness.store.layout import Layout
from leakfront.results.metrics import row_metric, row_name
from leakfront.results.metrics.image_set import ImageSet
from leakfront.results.run.rows import ALL, HELD_OUT, NOISE, OF_FIT, Row, measured
from leakfront.results.statistics.fits import over_fits
from leakfront.seeds import derive_seed


def _settings(subject: Subject) -> list[str]:
    return [row_name(metric) for metric in subject.plan.metrics]


def _code(subject: Subject) -> list[str]:
    here = ["leakfront.harness.stages.reference", "leakfront.results.statistics.fits"]
    return [*here, *(name for metric in subject.plan.metrics for name in plugin_code(metric))]


def _run(work: Work) -> Files:
    """Measure real images, the pool's, and pure noise against the reference."""
    plan, layout, pool = work.plan, work.layout, work.pool
    ends, reference = {HELD_OUT: pool_set(layout, pool), NOISE: noise_set(layout, pool)}, reference_set(layout, pool)
    rows = [row for name, images in ends.items() for row in utility_rows(plan, images, reference, "", name, "", ALL)]
    return {"rows.json": [vars(row) for row in rows]}


REFERENCE = Stage("reference", "run", inputs=("extractor",), settings=_settings, code=_code, run=_run)


def utility_rows(
    plan: Plan, generated: ImageSet, real: ImageSet, cell: str, defense: str, params: str, split: str
) -> list[Row]:
    """One row for each metric of generated against real images: the mean over fits of the extractor.

    If there are several fits, a row for each follows.
    """
    rows = []
    for metric in plan.metrics:
        seed = derive_seed(plan.config.seed, "metric", metric.name)
        pairs = zip(generated.of_each_fit(), real.of_each_fit(), strict=True)
        of_fits = [metric.estimate(*pair, seed) for pair in pairs]
        row = Row(
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


def reference_rows(layout: Layout) -> list[Row]:
    """The rows of held-out images and noise."""
    return [Row(**row) for row in json.loads((layout.reference / "rows.json").read_text())]
