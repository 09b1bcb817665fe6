"""The privacy-utility front: FID against extracted images, a line for each defense."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from results.figures import figures, style
from results.figures.labels import Label, place
from results.points import EXTRACTION, HELD_OUT, NOISE, Point, Summary, Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from results.run_data import RunData


@figures.register("tradeoff")
class Tradeoff:
    """A point for each defense and strength, with intervals on both axes, its splits, and the front."""

    title = "Privacy against utility"
    caption = (
        "Image quality (FID: further left is better) against the number of unique training images extracted at a "
        "controlled false-discovery rate (FDR; lower is better, square-root axis). A marker is the mean over splits "
        "at one strength of a defense, bars are 95% intervals, small dots are the splits. Rings and the grey line mark "
        "the front: the points that no other point beats on both axes. Dotted lines are the FID of held-out real "
        "images and of noise, the two ends of the scale. A cross, on a dotted line from its marker, is what the "
        "weights give past a defense that only guards the sampler. At an FDR of q a split can report 1/q images or "
        "more, or none."
    )

    def __init__(self) -> None:
        self.reason = ""

    def draw(self, run: RunData) -> Figure | None:
        summary = Summary(run)
        found = [(p, summary.fid(p), summary.extracted(p)) for p in summary.points]
        points = [(p, f, e) for p, f, e in found if f is not None and e is not None and f.known and e.known]
        if not points:
            self.reason = "no defense has both a FID and an extraction row"
            return None
        with style.paper():
            return _draw(summary, points)


def _draw(summary: Summary, points: list[tuple[Point, Value, Value]]) -> Figure:
    from results.statistics.front import pareto_front

    crowd = len({p.defense for p, _, _ in points})
    figure = style.new_figure(2.35 if crowd <= 6 else 2.9)
    ax = figure.subplots()
    looks = style.looks(summary.defenses)
    splits = [_splits(summary, point) for point, _, _ in points]
    ends = {end: summary.scale_end(end) for end in (HELD_OUT, NOISE)}
    marks = {end: value.value for end, value in ends.items() if value is not None and value.known}
    unguarded = [value for p, _, _ in points if (value := summary.extracted_with_weights(p)) is not None]
    _scales(ax, points, splits, list(marks.values()), [value.value for value in unguarded if value.known])

    on_front = pareto_front(np.array([f.value for _, f, _ in points]), np.array([e.value for _, _, e in points]))
    front = sorted((f.value, e.value) for (_, f, e), on in zip(points, on_front, strict=True) if on)
    paths = [_front(ax, front)]
    for (point, fid, extracted), dots, on in zip(points, splits, on_front, strict=True):
        look = looks[point.defense]
        ax.plot(
            *dots.T,
            linestyle="none",
            marker="o",
            markersize=1.6,
            markeredgewidth=0,
            color=look.colour,
            alpha=0.6,
            zorder=2,
        )
        ax.errorbar(
            fid.value,
            extracted.value,
            xerr=_error(fid),
            yerr=_error(extracted),
            color=look.colour,
            linewidth=0.6,
            capsize=1.2,
            capthick=0.6,
            zorder=3,
        )
        ax.plot(
            fid.value,
            extracted.value,
            linestyle="none",
            marker=look.marker,
            markersize=3.8,
            color=look.colour,
            markerfacecolor=look.face,
            markeredgewidth=0.7,
            zorder=4,
        )
        past = summary.extracted_with_weights(point)
        if past is not None and past.known:
            from_served = [extracted.value, past.value]
            ax.plot([fid.value] * 2, from_served, color=look.colour, linestyle=":", linewidth=0.7, zorder=2.1)
            ax.plot(fid.value, past.value, linestyle="none", marker="x", markersize=3.4, color=look.colour, zorder=4)
            paths.append(np.array([[fid.value, y] for y in from_served]))
        if on:
            ax.plot(
                fid.value,
                extracted.value,
                marker="o",
                markersize=7.5,
                markerfacecolor="none",
                markeredgecolor=style.GREY,
                markeredgewidth=0.7,
                zorder=3.5,
            )
        paths += [
            np.array([[fid.value, extracted.value]]),
            np.array([[fid.value, extracted.low], [fid.value, extracted.high]]),
            np.array([[fid.low, extracted.value], [fid.high, extracted.value]]),
        ]
    labels, strengths = [], []
    for defense in dict.fromkeys(p.defense for p, _, _ in points):
        look, line = looks[defense], [(p, f, e) for p, f, e in points if p.defense == defense]
        path = np.array([[f.value, e.value] for _, f, e in line])
        if len(line) > 1:
            ax.plot(*path.T, linestyle=look.dashes, linewidth=0.9, color=look.colour, zorder=2.2)
            paths.append(path)
        labels.append(Label(style.shortened(defense), _anchors(line), look.colour))
        if len(line) > (1 if crowd <= 6 else 2):
            strengths += [
                Label(style.strength(p.params), _anchors([(p, f, e)]), look.colour, 4.8, True, defense)
                for p, f, e in line
                if p.params
            ]
    for end, fid_value in marks.items():
        _end_of_scale(
            ax, end.strip("()"), fid_value
        )  # a label may lie on its line; the label's outline keeps it legible
    ax.set_xlabel(f"FID ({summary.features} features)" if summary.features else "FID")
    ax.set_ylabel(f"images extracted at {summary.fdr} FDR")
    style.despine(ax)
    place(ax, labels + strengths, paths)
    return figure


def _splits(summary: Summary, point: Point) -> np.ndarray:
    """FID and count of each split that has both, [S, 2]."""
    fids = summary.per_split(point, "fid", summary.fid_metric)
    counts = summary.per_split(point, EXTRACTION, f"extracted_at_fdr_{summary.rate}")
    both = [s for s in fids if s in counts and fids[s].known and counts[s].known]
    return np.array([[fids[s].value, counts[s].value] for s in both]).reshape(-1, 2)


def _scales(
    ax: Axes,
    points: list[tuple[Point, Value, Value]],
    splits: list[np.ndarray],
    marks: list[float],
    past: list[float],
) -> None:
    """A logarithmic FID axis where the values span more than a factor of five, and the square-root count axis."""
    dots = np.concatenate(splits)
    fids = [f.value for _, f, _ in points] + marks + dots[:, 0].tolist()
    highs = [f.high for _, f, _ in points if f.has_interval] + fids
    lows = [max(f.low, 0.7 * f.value) for _, f, _ in points if f.has_interval] + fids
    if min(fids) > 0 and max(fids) > 5 * min(fids):
        ax.set_xscale("log")
        low, high = np.log(min(lows)), np.log(max(highs))
        ax.set_xlim(*np.exp([low - 0.06 * (high - low), high + 0.08 * (high - low)]))
        style.ticks(ax, "x", gap=0.07)
    else:
        room = 0.08 * ((max(highs) - min(lows)) or 1.0)
        ax.set_xlim(min(lows) - room, max(highs) + room)
    counts = [e.high if e.has_interval else e.value for _, _, e in points] + dots[:, 1].tolist()
    style.count_scale(ax, max([*counts, *past]))


def _front(ax: Axes, front: list[tuple[float, float]]) -> np.ndarray:
    """The staircase that bounds what is beaten; returns its corners."""
    top, right = ax.get_ylim()[1], ax.get_xlim()[1]
    corners = [(front[0][0], top)]
    for (x, y), after in zip(front, [x for x, _ in front[1:]] + [right], strict=True):
        corners += [(x, y), (after, y)]
    path = np.array(corners)
    ax.plot(*path.T, color=style.FAINT, linewidth=2.0, alpha=0.7, zorder=1, solid_joinstyle="miter")
    return path


def _end_of_scale(ax: Axes, name: str, fid: float) -> None:
    ax.axvline(fid, color=style.GREY, linewidth=0.6, linestyle=(0, (1, 1.5)), zorder=1)
    ax.annotate(
        name,
        (fid, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 1.5),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=5.5,
        color=style.GREY,
    )


def _anchors(line: list[tuple[Point, Value, Value]]) -> tuple[tuple[float, float], ...]:
    """Where a line may be named: at its points, the highest first, or at the ends of their bars."""
    ordered = sorted(line, key=lambda item: (-item[2].value, item[1].value))
    points = [(f.value, e.value) for _, f, e in ordered]
    return tuple(points + [(f.value, e.high) for _, f, e in ordered if e.has_interval])


def _error(value: Value) -> list[list[float]] | None:
    """The arms of the interval for `errorbar`, or None."""
    if not value.has_interval:
        return None
    return [[max(value.value - value.low, 0.0)], [max(value.high - value.value, 0.0)]]
