"""Quality and leakage against the number of training steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from leakfront.results.figures import Drawn, Figure, NotDrawn, register
from leakfront.results.figures.drawing import style, themes
from leakfront.results.figures.drawing.labels import Label, place
from leakfront.results.figures.drawing.looks import looks_of
from leakfront.results.run.point import Point
from leakfront.results.run.summary import Summary
from leakfront.results.run.value import Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

    from leakfront.results.run.data import RunData

# Key of run.json: label of a model that stops at a fixed step -> label of the same training to the end
STOPS = "stops_short_of"
_APART, _MOST_APART = 2.4, 5.0  # points between two lines at the same step, and between the first and the last


@dataclass(frozen=True)
class _Line:
    """Models that differ in their training steps alone, fewest steps first; the last may belong to another defense."""

    name: str
    points: tuple[Point, ...]
    steps: tuple[float, ...]


@dataclass(frozen=True)
class _Measure:
    """One panel: `values` holds the known values of at least two points."""

    name: str
    kind: Literal["fid", "count", "auc"]
    values: dict[Point, Value]


@register("timeline")
@dataclass(frozen=True)
class Timeline(Figure):
    """Panels with the training steps on the x axis: FID, images extracted, the AUC of one attack."""

    title = "Quality and leakage against training steps"
    shows_images = False

    def draw(self, run: RunData) -> Drawn | NotDrawn:
        summary = run.summary
        if STOPS not in run.info:
            return NotDrawn("run.json does not say which models are others stopped early")
        lines = _lines(run.info[STOPS], summary)
        leading = summary.leading(summary.undefended) if summary.points else None
        panels = _panels(summary, lines, leading[0] if leading is not None else None)
        if not panels:
            return NotDrawn("no two models differ in their number of training steps alone")
        auc = f" and the AUC of {leading[0]}, which {summary.why_leading}," if leading else ""
        caption = (
            "Models that differ only in when their training stopped: FID, images extracted (square-root axis)"
            f"{auc} against training steps. Means over splits with 95% intervals. The last point of a line is the same "
            "training without the early stop. Dotted: guessing."
        )
        with style.theme():
            return Drawn(_draw(summary, lines, panels), self.title, caption)


def _lines(stops: dict[str, str], summary: Summary) -> list[_Line]:
    """A line for each training that was stopped at different steps, with the same training to the end if the run has
    it; lines with fewer than two numbers of steps are left out."""
    points = {point.label: point for point in summary.points}
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in summary.points:
        if point.label in stops:
            groups.setdefault((point.defense, stops[point.label]), []).append(point)
    lines = []
    for (defense, whole), stopped in groups.items():
        models = [*stopped, *([points[whole]] if whole in points else [])]
        found = {p: summary.value(p, "train", "training_steps") for p in models}
        steps = {p: value.value for p, value in found.items() if value is not None and value.known}
        if len(set(steps.values())) > 1:
            ordered = tuple(sorted(steps, key=lambda p: steps[p]))
            lines.append(_Line(defense, ordered, tuple(steps[p] for p in ordered)))
    return lines


def _panels(summary: Summary, lines: Sequence[_Line], attack: str | None) -> list[_Measure]:
    """What is known of the models on the lines; attack: whose AUC is shown."""
    points = list(dict.fromkeys(point for line in lines for point in line.points))

    def measure(name: str, kind: Literal["fid", "count", "auc"], read: Callable[[Point], Value | None]) -> _Measure:
        found = {point: read(point) for point in points}
        return _Measure(name, kind, {p: value for p, value in found.items() if value is not None and value.known})

    panels = [
        measure("FID", "fid", summary.fid),
        measure(f"extracted,\n{summary.fdr} FDR", "count", summary.extracted),
    ]
    if attack is not None:
        panels.append(
            measure(f"AUC of\n{style.shortened(attack, 16)}", "auc", lambda p: summary.value(p, attack, "auc"))
        )
    return [panel for panel in panels if len(panel.values) > 1]


def _draw(summary: Summary, lines: Sequence[_Line], panels: Sequence[_Measure]) -> MatplotlibFigure:
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
    for ax, panel in zip(axes, panels, strict=True):
        _scale(ax, panel)
        ax.set_ylabel(panel.name)
        style.despine(ax)
    if not slide:
        figure.align_ylabels(axes)
    for ax, panel in zip(axes, panels, strict=True):
        _draw_lines(ax, summary, lines, panel.values, ax is axes[0])
    return figure


def _draw_lines(ax: Axes, summary: Summary, lines: Sequence[_Line], values: dict[Point, Value], named: bool) -> None:
    """Draw all lines in one panel, side by side where they share a step; `named`: with their labels."""
    from matplotlib.transforms import ScaledTranslation

    figure = ax.figure.get_figure(root=True)
    assert figure is not None
    looks = looks_of(summary)
    labels, paths = [], []
    ends: dict[Point, tuple[float, float]] = {}
    apart = min(_APART, _MOST_APART / max(len(lines) - 1, 1))
    for number, line in enumerate(lines):
        shift = apart * (number - (len(lines) - 1) / 2) / 72
        moved: dict[str, Any] = {"transform": ax.transData + ScaledTranslation(shift, 0, figure.dpi_scale_trans)}
        look = looks[line.name]
        known = [(p, x, values[p]) for p, x in zip(line.points, line.steps, strict=True) if p in values]
        path = np.array([[x, value.value] for _, x, value in known]).reshape(-1, 2)
        ax.plot(*path.T, color=look.colour, linestyle=look.dashes, linewidth=0.9, zorder=2, **moved)
        paths.append(path)
        for point, x, value in known:
            mark = looks[point.defense]
            if value.has_interval:
                ax.plot([x, x], [value.low, value.high], color=mark.colour, linewidth=0.6, zorder=2.5, **moved)
                paths.append(np.array([[x, value.low], [x, value.high]]))
            ax.plot(x, value.value, linestyle="none", marker=mark.marker, markersize=3.8, color=mark.colour,
                    markerfacecolor=mark.face, markeredgewidth=0.7, zorder=4, **moved)  # fmt: skip
            if point.defense != line.name:
                ends[point] = (x, value.value)
        own = tuple((x, value.value) for point, x, value in known if point.defense == line.name)
        if own:
            labels.append(Label(style.shortened(line.name), own, look.colour))
    labels += [Label(style.column_name(point), (at,), looks[point.defense].colour) for point, at in ends.items()]
    if named:
        place(ax, labels, paths)


def _scale(ax: Axes, panel: _Measure) -> None:
    """Set the limits and ticks of the y axis."""
    values = list(panel.values.values())
    ends = [end for v in values for end in ((v.low, v.high) if v.has_interval else (v.value,))]
    if panel.kind == "auc":
        ax.axhline(0.5, color=style.GREY, linewidth=0.6, linestyle=(0, (1, 1.5)), zorder=1)
        low, high = min([0.5, *(max(end, style.LOWEST_AUC) for end in ends)]), max([0.5, *ends])
        ax.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    elif panel.kind == "count":
        style.count_scale(ax, max(ends), gap=0.16)
    else:
        low, high = min(v.value for v in values), max(v.value for v in values)
        if high > 5 * low > 0:
            ax.set_yscale("log")
            ax.set_ylim(min(low, max(min(ends), 0.7 * low)) / 1.15, max(ends) * 1.15)
            style.ticks(ax, "y", gap=0.16)
        else:
            ax.set_ylim(max(0.0, min(ends) - 0.1 * (max(ends) - min(ends))), max(ends) + 0.1 * (max(ends) - min(ends)))
