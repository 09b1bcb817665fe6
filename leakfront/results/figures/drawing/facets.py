"""Small multiples of the privacy-utility front: one panel for each defense, all others in grey behind it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from leakfront.results.figures.drawing import style, themes
from leakfront.results.figures.drawing.fronts import (
    anchors,
    draw_front,
    draw_guess,
    draw_line,
    draw_mark,
    draw_panel,
    end_of_scale,
    guess_label,
    name_end,
    scale,
)
from leakfront.results.figures.drawing.labels import Label, place
from leakfront.results.figures.drawing.looks import BLACK, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from leakfront.results.figures.drawing.front_data import Chart

_ROW, _SLIDE_ROW, _SLIDE_COLUMN = 1.3, 0.9, 1.2  # inches
_SMALL, _NAME = 5.0, 6.5  # points: the smallest type, and a defense's name
_OTHERS = "#a9a9a9"
_BLACK = Look(BLACK, "o", "-", False)
_LABELLED = 6  # of more strengths only the first and the last are labelled


def draw(chart: Chart) -> Figure:
    """Draw one panel, or one for each defense if there are too many for one."""
    with style.theme():
        return draw_facets(chart) if chart.crowded else draw_panel(chart)


def draw_facets(chart: Chart) -> Figure:
    """Draw a panel for each defense, across the whole page."""
    panels = chart.defended
    if themes.current().slide:
        columns = themes.current().columns(len(panels), _SLIDE_ROW, _SLIDE_COLUMN, 0.35)
        rows = math.ceil(len(panels) / columns)
        figure = style.new_figure(0.35 + _SLIDE_ROW * rows, 0.45 + _SLIDE_COLUMN * columns)
    else:
        columns = min((4, 5), key=lambda n: (-len(panels) % n, -n))
        rows = math.ceil(len(panels) / columns)
        figure = style.new_figure(0.35 + _ROW * rows, style.PAGE)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    scale(grid[0, 0], chart, gap=0.16, rise=0.16 if themes.current().slide else 0.09)
    axes = grid.ravel()
    for ax in axes[len(panels) :]:
        ax.remove()
    for ax in axes[max(len(panels) - columns, 0) : len(panels)]:
        ax.tick_params(labelbottom=True)
    figure.supxlabel(chart.xlabel, fontsize=7)
    figure.supylabel(chart.ylabel, fontsize=7)
    width = 72 * (figure.get_figwidth() - 0.45) / columns - 8
    drawn = []
    for number, (ax, line) in enumerate(zip(axes, panels, strict=False)):
        style.despine(ax)
        ax.tick_params(labelsize=5.5)
        _head(ax, chart, line, number < columns, width)
        drawn.append(_panel(ax, chart, line, number == 0))
    figure.draw_without_rendering()
    for ax, (labels, paths) in zip(axes, drawn, strict=False):
        place(ax, labels, paths, settled=True)
    return figure


def _panel(ax: Axes, chart: Chart, line: str, first: bool) -> tuple[list[Label], list[np.ndarray]]:
    """Draw a defense in front of the others; return its labels and what they should not cover."""
    look, marks, base = chart.looks[line], chart.of(line), chart.of(chart.baselines.get(line))
    others = np.array([mark.at for mark in chart.marks if mark not in marks and mark not in base]).reshape(-1, 2)
    ax.plot(*others.T, linestyle="none", marker="o", markersize=1.8, markeredgewidth=0, color=_OTHERS, zorder=1.5)
    paths = [draw_front(ax, chart), *others[:, None]]
    for name, fid in chart.ends.items():
        end_of_scale(ax, fid)
        if first:
            name_end(ax, name, fid, _SMALL, _side(ax, fid))
    labels = []
    if chart.guess is not None:
        paths.append(draw_guess(ax, chart.guess))
        labels += [guess_label(ax, chart.guess, _SMALL)] * first
    for mark in base:
        paths += draw_mark(ax, mark, _BLACK, 2.8)
    for mark in marks:
        paths += draw_mark(ax, mark, look, 3.2)
    paths += draw_line(ax, marks, look)
    if first and base:
        labels.append(Label("undefended", anchors(base), _BLACK.colour, _SMALL))
    for mark in marks if len(marks) <= _LABELLED else (marks[0], marks[-1]):
        if mark.point.params:
            text = style.shortened(style.strength(mark.point.params), 12)
            labels.append(Label(text, anchors([mark]), look.colour, _SMALL))
    return labels, paths


def _head(ax: Axes, chart: Chart, line: str, top: bool, width: float) -> None:
    """Write the defense's name and promise; the first row leaves room for the names of the ends of the scale."""
    lift = 9.0 if top else 2.0
    promise, name = (str(chart.promises[line]), _SMALL, style.GREY, 0.0), (line, _NAME, chart.looks[line].colour, 6.5)
    for text, size, colour, above in (promise, name):
        text = _fitted(text, size, width)
        ax.annotate(text, (0, 1), xycoords="axes fraction", xytext=(0, lift + above), textcoords="offset points",
                    ha="left", va="baseline", fontsize=size, color=colour)  # fmt: skip


def _side(ax: Axes, fid: float) -> str:
    """How a text at this FID is aligned to stay within the panel."""
    share = float(ax.transAxes.inverted().transform(ax.transData.transform((fid, 1.0)))[0])
    return "left" if share < 0.2 else "right" if share > 0.9 else "center"


def _fitted(text: str, size: float, width: float) -> str:
    """The text no wider than `width` (points); its middle is left out where needed."""
    most = len(text)
    while most > 3 and (excess := style.width_of(style.shortened(text, most), size) / width) > 1:
        most = max(3, min(most - 1, int(1.2 * most / excess)))
    return style.shortened(text, most)
