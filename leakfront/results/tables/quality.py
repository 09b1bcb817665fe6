"""Every measure of image quality on every defense, between the two ends of the scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakfront.results.run.conditions import stated
from leakfront.results.run.point import Point
from leakfront.results.run.rows import AT_SAMPLES, HELD_OUT, NO_MODEL, NOISE, OF_FIT
from leakfront.results.tables.table import NOTHING, Column, Table, number

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData

_TITLES = {"fid": "FID", "kid": "KID"}  # the main table has both


def quality_table(run: RunData) -> Table | None:
    """All metrics of images, of every defense at every strength, then of held-out real images and of noise.

    None if the run has no metrics besides those of the main table.
    """
    metrics = _metrics(run)
    if all(source in _TITLES for source, _ in metrics):
        return None
    summary, titles = run.summary, _titles(run, metrics)
    ends = [Point(end, "") for end in (HELD_OUT, NOISE)]
    points = [*summary.points, *(p for p in ends if any(summary.value(p, *metric) is not None for metric in metrics))]
    lower = list(dict.fromkeys(titles[metric] for metric, higher in metrics.items() if not higher))
    return Table((
        Column("defense", "Defense", tuple(p.defense for p in points)),
        Column("params", "Strength", tuple(p.params for p in points)),
        *(Column(metric, title, tuple(summary.value(p, source, metric) for p in points))
          for (source, metric), title in titles.items()),
    ), (*_notes(run, lower), *run.differences))  # fmt: skip


def _metrics(run: RunData) -> dict[tuple[str, str], bool]:
    """Source and metric of the utility rows, in their order, with whether higher is better."""
    rows = run.rows
    rows = rows[
        (rows["kind"] == "utility")
        & ~rows["metric"].isin(NO_MODEL)
        & ~rows["metric"].str.endswith((OF_FIT, AT_SAMPLES))
    ]
    columns = (rows[column].tolist() for column in ("source", "metric", "higher_is_better"))
    return {(source, metric): bool(higher) for source, metric, higher in zip(*columns, strict=True)}


def _titles(run: RunData, metrics: dict[tuple[str, str], bool]) -> dict[tuple[str, str], str]:
    """Headings: the metric, with its changed parameters and, if there are several, its features: "Precision (k = 5)".

    Runs of earlier versions state no parameters; there the whole name tells two metrics of one source apart.
    """
    known = run.info.get("metric_facts", {})
    features = {facts["features"] for facts in known.values()}
    sources = [source for source, _ in metrics]
    titles = {}
    for source, metric in metrics:
        if metric in known:
            more = [f"{key} = {value}" for key, value in known[metric]["params"].items()]
            more += [known[metric]["features"]] if len(features) > 1 else []
        else:
            more = [metric] if sources.count(source) > 1 else []
        title = _TITLES.get(source, source.replace("_", " ").capitalize())
        titles[source, metric] = f"{title} ({', '.join(more)})" if more else title
    return titles


def _notes(run: RunData, lower: list[str]) -> tuple[str, str]:
    """The images and features behind the numbers, and which direction is better. lower: where lower is."""
    infos = [source.info for source in run.sources]
    data = [info.get("dataset", {}) for info in infos]
    features = run.summary.features or stated(infos, "features", "unnamed")
    better = f"Higher is better, except for {' and '.join(lower)}." if lower else "Higher is better."
    return (
        f"On {features} features of {stated(infos, 'samples_per_model')} samples from each model against "
        f"{stated(data, 'reference')} real images outside the pool. {HELD_OUT}: the pool's {stated(data, 'pool')} "
        f"images{_at_samples(run)}; {NOISE}: as many noise images as a model has samples. Values at other numbers of "
        "images do not compare.",
        f"{better} Means over splits with 95% intervals; {NOTHING}: no number.",
    )


def _at_samples(run: RunData) -> str:
    """What the number of held-out images does to their FID."""
    found = run.summary.held_out_at_samples
    if found is None or not found.known:
        return ""
    return f", which at {found.n:,} images would have an FID of about {number(found.value)} (a line in 1/n)"
