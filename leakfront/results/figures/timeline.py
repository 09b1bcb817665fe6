"""What more training steps bring: quality, and leakage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.results.figures import figures
from leakfront.results.figures.drawing import style, themes
from leakfront.results.figures.drawing.labels import Label, place
from leakfront.results.run.summary import EXTRACTION, Point, Summary, Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from leakfront.results.run.data import RunData

_STOP = "early_stop"
_STEPS_ALONE = re.compile(r"(fraction|steps)=[^,=]+")  # a strength that is nothing but a number of steps
_APART, _MOST_APART = 2.4, 5.0  # points between two lines at the same step, and between the first and the last


@dataclass(frozen=True)
class _Line:
    """Models that differ in their training steps alone, the fewest first; the last may be that of another line."""

    name: str
    points: tuple[Point, ...]
    steps: tuple[float, ...]


@figures.register("timeline")
class Timeline:
    """Panels with the training steps on the x axis: FID, images extracted, the AUC of one attack."""

    title = "Quality and leakage against training steps"

    def __init__(self) -> None:
        self.reason, self.caption = "", ""

    def draw(self, run: RunData) -> Figure | None:
        summary = run.summary
        lines = [line for defense in summary.defenses if (line := _line(summary, defense)) is not None]
        strongest = summary.strongest(summary.undefended, "auc") if summary.points else None
        measures: dict[str, tuple[str, str, float | None]] = {
            "FID": ("fid", summary.fid_metric, None),
            f"extracted, {summary.fdr} FDR": (EXTRACTION, "extracted_at_fdr", summary.rate),
        }
        if strongest is not None:
            measures[f"AUC of {style.shortened(strongest[0], 16)}"] = (strongest[0], "auc", None)
        panels = {}
        for name, (source, metric, level) in measures.items():
            found = {p: summary.value(p, source, metric, level=level) for line in lines for p in line.points}
            panels[name] = {p: value for p, value in found.items() if value is not None and value.known}
        panels = {name: values for name, values in panels.items() if len(values) > 1}
        if not panels:
            self.reason = "no two models differ in their number of training steps alone"
            return None
        self.caption = (
            "Models that differ in when their training stopped and in nothing else: FID, images extracted (square-root "
            "axis)"
            + (f" and the AUC of {strongest[0]}, which has the highest on the undefended model," if strongest else "")
            + " against training steps. Means over splits with 95% intervals. The last point of early_stop is the "
            "undefended model, that of a stack with early_stop the same stack without it. Dotted: guessing."
        )
        with style.theme():
            return _draw(summary, lines, panels)


def _line(summary: Summary, defense: str) -> _Line | None:
    """The models of a defense in the order of their steps, with the one that was trained to the end; None for less than
    two numbers of steps."""
    points = [point for point in summary.points if point.defense == defense]
    if not all(_STEPS_ALONE.fullmatch(point.params) for point in points):
        return None
    last = _to_the_end(summary, points[0])
    found = {p: summary.value(p, "train", "training_steps") for p in [*points, *([last] if last is not None else [])]}
    steps = {point: value.value for point, value in found.items() if value is not None and value.known}
    if len(set(steps.values())) < 2:
        return None
    ordered = tuple(sorted(steps, key=lambda point: steps[point]))
    return _Line(defense, ordered, tuple(steps[point] for point in ordered))


def _to_the_end(summary: Summary, point: Point) -> Point | None:
    """The model that only lacks the early stop; None where the defense's name does not tell which it is."""
    base = summary.baseline_of(point)
    before, stop = point.defense.rsplit(_STOP, 1)[0], point.defense.endswith(_STOP)
    if not stop:
        return None
    if base is not None and f"{before}none" == base.defense:
        return base
    return next((p for p in summary.points if before.endswith("+") and p == Point(before[:-1], "")), None)


def _draw(summary: Summary, lines: Sequence[_Line], panels: dict[str, dict[Point, Value]]) -> Figure:
    slide = themes.current().slide
    figure = style.new_figure(2.5 if slide else 0.35 + 0.95 * len(panels))
    shape = (1, len(panels)) if slide else (len(panels), 1)
    axes = figure.subplots(*shape, sharex=True, squeeze=False).ravel()
    steps = sorted({step for line in lines for step in line.steps})
    if steps[-1] > 5 * steps[0]:
        axes[-1].set_xscale("log")
        axes[-1].set_xlim(steps[0] / 1.3, steps[-1] * 1.3)
    else:
        axes[-1].set_xlim(steps[0] - 0.1 * (steps[-1] - steps[0]), steps[-1] + 0.1 * (steps[-1] - steps[0]))
    style.ticks(axes[-1], "x", steps, gap=0.24 if slide else 0.1)
    for ax in axes if slide else axes[-1:]:
        ax.set_xlabel("training steps")
    for ax, (name, values) in zip(axes, panels.items(), strict=True):
        _scale(ax, name, list(values.values()))
        ax.set_ylabel(name)
        style.despine(ax)
    if not slide:
        figure.align_ylabels(axes)
    for ax, values in zip(axes, panels.values(), strict=True):
        _panel(ax, summary, lines, values, ax is axes[0])
    return figure


def _panel(ax: Axes, summary: Summary, lines: Sequence[_Line], values: dict[Point, Value], named: bool) -> None:
    from matplotlib.transforms import ScaledTranslation

    figure = ax.figure.get_figure(root=True)
    assert figure is not None
    looks, paths, labels = style.looks(summary.defenses), [], []
    ends: dict[str, tuple[float, float]] = {}
    apart = min(_APART, _MOST_APART / max(len(lines) - 1, 1))
    for number, line in enumerate(lines):
        shift = apart * (number - (len(lines) - 1) / 2) / 72
        moved: dict[str, Any] = {"transform": ax.transData + ScaledTranslation(shift, 0, figure.dpi_scale_trans)}
        look = looks[line.name]
        path = np.array([[x, values[p].value] for p, x in zip(line.points, line.steps, strict=True) if p in values])
        ax.plot(*path.reshape(-1, 2).T, color=look.colour, linestyle=look.dashes, linewidth=0.9, zorder=2, **moved)
        for point, x in zip(line.points, line.steps, strict=True):
            if point not in values:
                continue
            value, mark = values[point], looks[point.defense]
            if value.has_interval:
                ax.plot([x, x], [value.low, value.high], color=mark.colour, linewidth=0.6, zorder=2.5, **moved)
                paths.append(np.array([[x, value.low], [x, value.high]]))
            ax.plot(x, value.value, linestyle="none", marker=mark.marker, markersize=3.8, color=mark.colour,
                    markerfacecolor=mark.face, markeredgewidth=0.7, zorder=4, **moved)  # fmt: skip
            if point.defense != line.name:
                ends[point.defense] = (x, value.value)
        own = [tuple(xy) for xy, p in zip(path.tolist(), [p for p in line.points if p in values], strict=True)
               if p.defense == line.name]  # fmt: skip
        paths.append(path.reshape(-1, 2))
        if own:
            labels.append(Label(style.shortened(line.name), tuple(own), look.colour))
    labels += [Label(style.shortened(name), (at,), looks[name].colour) for name, at in ends.items()]
    if named:
        place(ax, labels, paths)


def _scale(ax: Axes, name: str, values: list[Value]) -> None:
    ends = [end for v in values for end in ((v.low, v.high) if v.has_interval else (v.value,))]
    if name.startswith("AUC"):
        ax.axhline(0.5, color=style.GREY, linewidth=0.6, linestyle=(0, (1, 1.5)), zorder=1)
        low, high = min([0.5, *(max(end, style.LOWEST_AUC) for end in ends)]), max([0.5, *ends])
        ax.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    elif name.startswith("extracted"):
        style.count_scale(ax, max(ends), gap=0.16)
    else:
        low, high = min(v.value for v in values), max(v.value for v in values)
        if high > 5 * low > 0:
            ax.set_yscale("log")
            ax.set_ylim(min(low, max(min(ends), 0.7 * low)) / 1.15, max(ends) * 1.15)
            style.ticks(ax, "y", gap=0.16)
        else:
            ax.set_ylim(max(0.0, min(ends) - 0.1 * (max(ends) - min(ends))), max(ends) + 0.1 * (max(ends) - min(ends)))
