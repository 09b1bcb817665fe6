"""Every measure of image quality on every defense, between the two ends of the scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakfront.results.run.conditions import stated
from leakfront.results.run.summary import HELD_OUT, NO_MODEL, NOISE, Point, Summary
from leakfront.results.tables.table import NOTHING, Column, Table

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData

_TITLES = {"fid": "FID", "kid": "KID"}  # which the main table has, too


def quality_table(run: RunData) -> Table | None:
    """All metrics of images, of every defense at every strength, then of held-out real images and of noise; None if
    there are no others than the main table's."""
    metrics = _metrics(run)
    if all(source in _TITLES for source, _ in metrics):
        return None
    summary = Summary(run)
    features = summary.features or stated([source.info for source in run.sources], "features", "unnamed")
    points = [*summary.points, *(p for end in (HELD_OUT, NOISE) if _has_rows(summary, p := Point(end, ""), metrics))]
    return Table((
        Column("defense", "Defense", tuple(p.defense for p in points)),
        Column("params", "Strength", tuple(p.params for p in points)),
        *(Column(metric, _title(source, metric, features), tuple(summary.value(p, source, metric) for p in points))
          for source, metric in metrics),
    ), (*_notes(run, summary, metrics, features), *run.differences))  # fmt: skip


def _metrics(run: RunData) -> dict[tuple[str, str], bool]:
    """Source and metric of the utility rows, in their order, with whether higher is better."""
    rows = run.rows
    rows = rows[(rows["kind"] == "utility") & ~rows["metric"].isin(NO_MODEL)]
    columns = (rows[column].tolist() for column in ("source", "metric", "higher_is_better"))
    return {(source, metric): bool(higher) for source, metric, higher in zip(*columns, strict=True)}


def _has_rows(summary: Summary, point: Point, metrics: dict[tuple[str, str], bool]) -> bool:
    return any(summary.value(point, source, metric) is not None for source, metric in metrics)


def _title(source: str, metric: str, features: str) -> str:
    """The metric as a heading, with the parameters that its name states: "Precision (k5)"."""
    title = _TITLES.get(source, source.replace("_", " ").capitalize())
    rest = metric.removeprefix(source).removesuffix(f"_{features}").strip("_")
    return f"{title} ({rest})" if rest else title


def _notes(run: RunData, summary: Summary, metrics: dict[tuple[str, str], bool], features: str) -> tuple[str, ...]:
    """On how many images and which features the numbers rest, and which way they count."""
    infos = [source.info for source in run.sources]
    data = [info.get("dataset", {}) for info in infos]
    lower = list(dict.fromkeys(_title(source, metric, features) for (source, metric), up in metrics.items() if not up))
    better = f"Higher is better, but for {' and '.join(lower)}." if lower else "Higher is better."
    ends = [f"{HELD_OUT} are the pool's {stated(data, 'pool')}", f"{NOISE} is as many images as a model's samples"]
    return (
        f"On {features} features of {stated(infos, 'samples_per_model')} samples from each model against "
        f"{stated(data, 'reference')} real images outside the pool; {', '.join(ends)}. Values at other numbers of "
        "images do not compare.",
        f"{better} Means over splits with 95% intervals; {NOTHING}: no number.",
    )
