"""The privacy-utility front in one panel, and the parts that it shares with small multiples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from leakfront.results.figures.drawing import style
from leakfront.results.figures.drawing.labels import Label, place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from leakfront.results.figures.drawing.front_data import Chart, Mark
    from leakfront.results.figures.drawing.looks import Look
    from leakfront.results.run.value import Value

_FEW = 6  # lines in a low panel, with every strength labelled


def draw_panel(chart: Chart) -> Figure:
    """Draw all lines in one panel, one column of a paper wide."""
    crowd = len(chart.lines)
    figure = style.new_figure(2.35 if crowd <= _FEW else 2.9)
    ax = figure.subplots()
    scale(ax, chart)
    paths = [draw_front(ax, chart)]
    for mark in chart.marks:
        paths += draw_mark(ax, mark, chart.looks[mark.point.defense])
    labels, strengths = [], []
    for line in chart.lines:
        look, marks = chart.looks[line], chart.of(line)
        paths += draw_line(ax, marks, look)
        labels.append(Label(style.shortened(line) + _suffix(chart, line), anchors(marks), look.colour))
        if len(marks) > (1 if crowd <= _FEW else 2):
            strengths += [
                Label(style.strength(m.point.params), anchors([m]), look.colour, 4.8, True, line)
                for m in marks if m.point.params
            ]  # fmt: skip
    for name, fid in chart.ends.items():  # labels may lie on these lines; their outline keeps them legible
        end_of_scale(ax, fid)
        name_end(ax, name, fid)
    if chart.guess is not None:
        paths.append(draw_guess(ax, chart.guess))
        labels.append(guess_label(ax, chart.guess, 5.5))
    ax.set_xlabel(chart.xlabel)
    ax.set_ylabel(chart.ylabel)
    style.despine(ax)
    place(ax, labels + strengths, paths)
    return figure


def _suffix(chart: Chart, line: str) -> str:
    promise = chart.promises[line]
    return " (DP)" * promise.private + " (served)" * promise.served


def scale(ax: Axes, chart: Chart, gap: float = 0.07, rise: float = 0.09) -> None:
    """Set both scales: FID is logarithmic if the values span more than a factor of five; counts have a square root.

    gap, rise: the least distance between ticks of FID and of counts, as a share of the axis.
    """
    dots = np.concatenate([mark.splits for mark in chart.marks])
    fids = [m.fid.value for m in chart.marks] + list(chart.ends.values()) + dots[:, 0].tolist()
    highs = [m.fid.high for m in chart.marks if m.fid.has_interval] + fids
    lows = [max(m.fid.low, 0.7 * m.fid.value) for m in chart.marks if m.fid.has_interval] + fids
    if min(fids) > 0 and max(fids) > 5 * min(fids):
        ax.set_xscale("log")
        low, high = np.log(min(lows)), np.log(max(highs))
        ax.set_xlim(*np.exp([low - 0.06 * (high - low), high + 0.08 * (high - low)]))
        style.ticks(ax, "x", gap=gap)
    else:
        room = 0.08 * ((max(highs) - min(lows)) or 1.0)
        ax.set_xlim(min(lows) - room, max(highs) + room)
    past = [m.past for m in chart.marks if m.past is not None]
    leaks = [m.leak.value for m in chart.marks] + past + dots[:, 1].tolist()
    tops = leaks + [m.leak.high for m in chart.marks if m.leak.has_interval]
    if chart.guess is None:
        style.count_scale(ax, max(tops), gap=rise)
        return
    bottoms = [chart.guess, *leaks, *(max(m.leak.low, style.LOWEST_AUC) for m in chart.marks if m.leak.has_interval)]
    low, high = min(bottoms), max(tops)
    room = 0.06 * ((high - low) or 1.0)
    ax.set_ylim(low - room, high + room)


def draw_front(ax: Axes, chart: Chart) -> np.ndarray:
    """Draw the staircase that bounds the beaten points; return its corners."""
    floor = -np.inf if chart.guess is None else chart.guess
    front = sorted((mark.fid.value, max(mark.leak.value, floor)) for mark in chart.marks if mark.on_front)
    top, right = ax.get_ylim()[1], ax.get_xlim()[1]
    corners = [(front[0][0], top)]
    for (x, y), after in zip(front, [x for x, _ in front[1:]] + [right], strict=True):
        corners += [(x, y), (after, y)]
    path = np.array(corners)
    ax.plot(*path.T, color=style.FAINT, linewidth=2.0, alpha=0.7, zorder=1, solid_joinstyle="miter")
    return path


def draw_mark(ax: Axes, mark: Mark, look: Look, size: float = 3.8) -> list[np.ndarray]:
    """Draw a marker with bars, splits, the cross behind a guard and the ring on the front; return what they cover."""
    x, y = mark.at
    ax.plot(*mark.splits.T, linestyle="none", marker="o", markersize=1.6, markeredgewidth=0, color=look.colour,
            alpha=0.6, zorder=2)  # fmt: skip
    ax.errorbar(x, y, xerr=_error(mark.fid), yerr=_error(mark.leak), color=look.colour, linewidth=0.6, capsize=1.2,
                capthick=0.6, zorder=3)  # fmt: skip
    ax.plot(x, y, linestyle="none", marker=look.marker, markersize=size, color=look.colour, markerfacecolor=look.face,
            markeredgewidth=0.7, zorder=4)  # fmt: skip
    paths = [
        np.array([[x, y]]),
        np.array([[x, mark.leak.low], [x, mark.leak.high]]),
        np.array([[mark.fid.low, y], [mark.fid.high, y]]),
    ]
    if mark.past is not None:
        ax.plot([x, x], [y, mark.past], color=look.colour, linestyle=":", linewidth=0.7, zorder=2.1)
        ax.plot(x, mark.past, linestyle="none", marker="x", markersize=3.4, color=look.colour, zorder=4)
        paths += [np.array([[x, y]]), np.array([[x, mark.past]])]
    if mark.on_front:
        ax.plot(x, y, marker="o", markersize=2 * size - 0.1, markerfacecolor="none", markeredgecolor=style.GREY,
                markeredgewidth=0.7, zorder=3.5)  # fmt: skip
    return paths


def draw_line(ax: Axes, marks: Sequence[Mark], look: Look) -> list[np.ndarray]:
    """Draw the line through the strengths of a defense; return it, or nothing for one strength."""
    if len(marks) < 2:
        return []
    path = np.array([mark.at for mark in marks])
    ax.plot(*path.T, linestyle=look.dashes, linewidth=0.9, color=look.colour, zorder=2.2)
    return [path]


def end_of_scale(ax: Axes, fid: float) -> None:
    """Draw a dotted line at the FID of held-out images or of noise."""
    ax.axvline(fid, color=style.GREY, linewidth=0.6, linestyle=(0, (1, 1.5)), zorder=1)


def name_end(ax: Axes, name: str, fid: float, size: float = 5.5, side: str = "center") -> None:
    """Write the name of that line above it."""
    ax.annotate(name, (fid, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 1.5), textcoords="offset points",
                ha=side, va="bottom", fontsize=size, color=style.GREY)  # fmt: skip


def draw_guess(ax: Axes, guess: float) -> np.ndarray:
    """Draw a dotted line at the leakage that guessing gives; return its ends."""
    ax.axhline(guess, color=style.GREY, linewidth=0.6, linestyle=(0, (1, 1.5)), zorder=1)
    return np.array([[x, guess] for x in ax.get_xlim()])


def guess_label(ax: Axes, guess: float, size: float) -> Label:
    """The name of that line, anywhere along it, preferably at the right."""
    ends = ax.transData.transform([(x, guess) for x in ax.get_xlim()])
    spots = [ends[0] + share * (ends[1] - ends[0]) for share in (0.88, 0.75, 0.6, 0.45, 0.3, 0.15)]
    return Label("guessing", tuple(map(tuple, ax.transData.inverted().transform(spots))), style.GREY, size)


def anchors(marks: Sequence[Mark]) -> tuple[tuple[float, float], ...]:
    """Where a line may be named: at its points, the highest first, or at the ends of their bars."""
    ordered = sorted(marks, key=lambda mark: (-mark.leak.value, mark.fid.value))
    return tuple([m.at for m in ordered] + [(m.fid.value, m.leak.high) for m in ordered if m.leak.has_interval])


def _error(value: Value) -> list[list[float]] | None:
    """The arms of the interval for `errorbar`, or None."""
    if not value.has_interval:
        return None
    return [[max(value.value - value.low, 0.0)], [max(value.high - value.value, 0.0)]]
