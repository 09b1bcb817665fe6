"""The cost of each defense in training and in sampling, compared with the undefended model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from leakfront.results.run.made import differing_machines
from leakfront.results.run.point import Point
from leakfront.results.run.summary import Summary
from leakfront.results.run.value import Value
from leakfront.results.tables.table import Column, Entry, Table, counted, number

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData

RATIO = "× none"
SAMPLING_CALLS = "model_calls_per_sample"
# key, title, title of the ratio, source and metric of the rows
_COSTS = (
    ("training_seconds", "Training ({})", RATIO, "train", "training_seconds"),
    ("peak_memory_mib", "Peak memory (MiB)", RATIO, "train", "peak_memory_mib"),
    ("training_model_calls", "Model calls in training", RATIO, "train", "training_model_calls"),
    ("sampling_seconds", "Sampling ({})", RATIO, "sample", "sampling_seconds"),
    (SAMPLING_CALLS, "", f"Model calls per sample, {RATIO}", "sample", "model_calls_per_image"),
)


def cost_table(run: RunData) -> Table | None:
    """Seconds, memory and model calls of every measured defense, each with its ratio to the run's undefended model.

    None without an undefended model, or if there is no other model. Model calls in sampling are printed as a ratio, and
    only if they differ; the CSV always has them.
    """
    summary = run.summary
    points = [point for point in summary.points if summary.splits(point)]
    bases = {p: base for p in points if (base := summary.baseline_of(p)) is not None and summary.splits(base)}
    if all(point == base for point, base in bases.items()):
        return None
    columns = [
        Column("defense", "Defense", tuple(p.defense for p in points)),
        Column("params", "Strength", tuple(p.params for p in points)),
    ]
    for key, title, times, source, metric in _COSTS:
        costs = tuple(summary.value(p, source, metric) for p in points)
        ratios = tuple(_ratio(summary, p, bases[p], source, metric) if p in bases else None for p in points)
        known = [ratio.value for ratio in ratios if ratio is not None and ratio.known]
        alike = key == SAMPLING_CALLS and all(ratio == 1 for ratio in known)
        printed = known and not alike
        columns += [
            Column(key, title.format(summary.seconds) if printed else "", costs),
            Column(f"{key}_ratio", times if printed else "", ratios),
        ]
    yardstick = _yardstick(run, points, next(c.entries for c in columns if c.key == "training_seconds_ratio"))
    table = Table(tuple(columns), (*_notes(run, summary), *yardstick, *run.differences))
    return table if len(table.printed) > 2 else None


def _ratio(summary: Summary, point: Point, base: Point, source: str, metric: str) -> Value | None:
    """A cost as a multiple of the undefended model's, paired by split; None if there is nothing to divide by."""
    from leakfront.results.statistics.ratio import ratio_over_splits

    mine, its = (summary.per_split(p, source, metric) for p in (point, base))
    pairs = [(mine[split].value, its[split].value if split in its else math.nan) for split in mine]
    if any(cost <= 0 for pair in pairs for cost in pair):
        return None
    estimate = ratio_over_splits([cost for cost, _ in pairs], [cost for _, cost in pairs])
    return Value(estimate.value, estimate.low, estimate.high, len(pairs), estimate.method)


def _notes(run: RunData, summary: Summary) -> tuple[str, ...]:
    """How the numbers were made, and their limits."""
    if len(summary.baselines) > 1:
        machine = "on each run's machine, with its workers and threads"
    else:
        workers, threads = (counted(run.info.get(key), key) for key in ("workers", "threads"))
        cluster = run.info.get("cluster")
        place = f"a {cluster}" if cluster else "this run's machine"
        machine = f"on {place}, with {workers} of {threads} each"
        if differing_machines(run.info):
            machine = "on several machines or with several numbers of threads, which run.json lists"
    in_cpu_time = summary.seconds != "s"
    clock = "CPU time of a worker, over all its threads," if in_cpu_time else "wall-clock time"
    busy = "" if in_cpu_time else ", and vary with its other load"
    samples = " or ".join(dict.fromkeys(_samples(source) for source in run.sources))
    on_gpu = [device.startswith("cuda") for device in _devices(run)]
    return (
        f"Means over splits with 95% intervals. {RATIO}: the ratio to the undefended model of the same split, "
        "geometric mean over splits with a 95% t interval of its logarithm; no interval for one split, or if all "
        "splits have the same ratio.",
        "A model call is one image passed through the network; some defenses use a smaller network, or make a call "
        f"more expensive. Sampling is of {samples} images from each model.",
        f"Times are {clock} {machine}{busy}.",
        "Training includes all work of a defense before its first step, such as pretraining on public images. "
        "Preparing the training set, such as the search for duplicates, is not timed.",
        *(() if all(on_gpu) else (
            "Peak memory on a CPU is that of the whole worker process during training, including its libraries, so "
            "the ratios are closer to 1 than those of the training alone.",
        )),
        *(("Peak memory on a GPU is the most that torch allocated there during training.",) if any(on_gpu) else ()),
    )  # fmt: skip


def _yardstick(run: RunData, points: Sequence[Point], ratios: Sequence[Entry]) -> tuple[str, ...]:
    """The accuracy of times: defenses that act only when sampling train exactly as the undefended model does."""
    places = run.info.get("acts_on", {})
    alike = {
        point.label: ratio.value
        for point, ratio in zip(points, ratios, strict=True)
        if set(places.get(point.label, ())) == {"sampling"} and isinstance(ratio, Value) and ratio.known
    }
    if not alike:
        return ()
    low, high = number(min(alike.values())), number(max(alike.values()))
    span = f"they took {low} × its time" if low == high else f"they took {low} to {high} × its time"
    return (
        f"{', '.join(alike)}: trained exactly as the undefended model; only their sampling differs. That {span} "
        "shows how much the machine varies on equal work; other ratios of times are no more accurate.",
    )


def _samples(run: RunData) -> str:
    samples = run.info.get("samples_per_model")
    return number(float(samples)) if samples is not None else "?"


def _devices(run: RunData) -> list[str]:
    """The devices on which the models of the run, or of several runs, were trained."""
    one = run.info.get("config", {}).get("execution", {}).get("device", "cpu")
    return [str(device) for device in run.info.get("devices", [one])]
