"""Training time against image quality and extraction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leakfront.results.figures import Drawn, Figure, NotDrawn, register
from leakfront.results.figures.drawing import style, themes
from leakfront.results.figures.drawing.labels import Label, place
from leakfront.results.figures.drawing.looks import Look, looks_of
from leakfront.results.run.point import Point
from leakfront.results.run.summary import Summary
from leakfront.results.run.value import Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

    from leakfront.results.run.data import RunData


@register("cost")
@dataclass(frozen=True)
class Cost(Figure):
    """Two panels with training seconds on the x axis: FID above, extracted images below."""

    title = "Training time"
    shows_images = False
    caption = (
        "Training time of one model on this run's machine, mean over splits, against FID ({0}) and images extracted at "
        "the run's false-discovery rate ({1}; square-root axis). Bars are 95% intervals."
    )

    def draw(self, run: RunData) -> Drawn | NotDrawn:
        summary = run.summary
        seconds = {p: summary.value(p, "train", "training_seconds") for p in summary.points}
        timed = {p: s.value for p, s in seconds.items() if s is not None and s.known}
        if not timed:
            return NotDrawn("no training time was recorded")
        caption = self.caption.format(*(("left", "right") if themes.current().slide else ("above", "below")))
        with style.theme():
            return Drawn(_draw(summary, timed), self.title, caption)


def _draw(summary: Summary, seconds: dict[Point, float]) -> MatplotlibFigure:
    crowd = len({point.defense for point in seconds})
    if themes.current().slide:
        figure = style.new_figure(2.3 if crowd <= 6 else 2.7)
        upper, lower = figure.subplots(1, 2, sharex=True)
        upper.set_xlabel(f"training time ({summary.seconds})")
    else:
        figure = style.new_figure(3.0 if crowd <= 6 else 4.0)
        upper, lower = figure.subplots(2, 1, sharex=True)
    looks = looks_of(summary)
    values = np.array(list(seconds.values()))
    if values.max() > 5 * values.min() > 0:
        lower.set_xscale("log")
        lower.set_xlim(values.min() / 1.5, values.max() * 1.5)
        style.ticks(lower, "x", gap=0.1)
    else:
        room = 0.15 * (np.ptp(values) or values.max() or 1.0)
        lower.set_xlim(max(0.0, values.min() - room), values.max() + room)
    fids, counts = {p: summary.fid(p) for p in seconds}, {p: summary.extracted(p) for p in seconds}
    _fid_scale(upper, [v.value for v in fids.values() if v is not None and v.known])
    style.count_scale(lower, max([np.nanmax([v.value, v.high]) for v in counts.values() if v and v.known], default=1.0))
    upper.set_ylabel("FID")
    lower.set_ylabel(f"extracted, {summary.fdr} FDR")
    lower.set_xlabel(f"training time ({summary.seconds})")
    for ax, measured in ((upper, fids), (lower, counts)):
        style.despine(ax)
        _points(ax, seconds, {p: v for p, v in measured.items() if v is not None and v.known}, looks)
    return figure


def _fid_scale(ax: Axes, fids: list[float]) -> None:
    if fids and max(fids) > 5 * min(fids) > 0:
        ax.set_yscale("log")
        ax.set_ylim(min(fids) / 1.4, max(fids) * 1.4)
        style.ticks(ax, "y", gap=0.1)


def _points(ax: Axes, seconds: dict[Point, float], measured: dict[Point, Value], looks: dict[str, Look]) -> None:
    paths = []
    for point, value in measured.items():
        look, x = looks[point.defense], seconds[point]
        if value.has_interval:
            ax.plot([x, x], [value.low, value.high], color=look.colour, linewidth=0.6, zorder=2)
            paths.append(np.array([[x, value.low], [x, value.high]]))
        ax.plot(x, value.value, linestyle="none", marker=look.marker, markersize=3.8, color=look.colour,
                markerfacecolor=look.face, markeredgewidth=0.7, zorder=4)  # fmt: skip
        paths.append(np.array([[x, value.value]]))
    lines: dict[str, list[tuple[float, float]]] = {}
    for point, value in measured.items():
        lines.setdefault(point.defense, []).append((seconds[point], value.value))
    place(ax, [Label(style.shortened(name), tuple(at), looks[name].colour, 5.5) for name, at in lines.items()], paths)
