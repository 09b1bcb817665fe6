"""Membership inference on every model: the AUC of each attack against each defense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leakfront.results.figures import Drawn, Figure, NotDrawn, register
from leakfront.results.figures.drawing import style, themes
from leakfront.results.figures.drawing.looks import look
from leakfront.results.figures.drawing.matrix import draw_matrix
from leakfront.results.run.families import MANY, NOTE
from leakfront.results.run.point import Point
from leakfront.results.run.summary import Summary
from leakfront.results.run.value import Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

    from leakfront.results.run.data import RunData


_SLIDE_COLUMN = 1.8  # inches


@register("membership")
@dataclass(frozen=True)
class Membership(Figure):
    """A row for each defense and strength, with a marker and interval for each attack; a matrix for many attacks."""

    title = "Membership inference under each defense"
    shows_images = False
    caption = (
        "Area under the ROC curve (AUC) of every attack on every defense, mean over splits with 95% interval. At 0.5 "
        "(vertical line) an attack cannot tell members from decoys; an open marker has an interval that covers 0.5. A "
        "defense that stops extraction need not stop these attacks."
    )
    many = (
        "Area under the ROC curve (AUC) of every attack on every defense, mean over splits. At .50 (white) an attack "
        "cannot tell members from decoys; red is above, blue below. Bold: the 95% interval excludes .5. Hatched: not "
        "measured. A defense that stops extraction need not stop these attacks. Attacks are grouped by what they use "
        f"({NOTE})."
    )

    def draw(self, run: RunData) -> Drawn | NotDrawn:
        summary = run.summary
        found = [(p, a, summary.value(p, a, "auc")) for p in summary.points for a in summary.attacks]
        values = {(p, a): v for p, a, v in found if v is not None and v.known}
        if not values:
            return NotDrawn("no attack has an AUC row")
        with style.theme():
            if len(summary.suite) > MANY:
                return Drawn(_matrix(summary, values), self.title, self.many)
            return Drawn(_draw(summary, values), self.title, self.caption)


def _matrix(summary: Summary, values: dict[tuple[Point, str], Value]) -> MatplotlibFigure:
    points = [p for p in summary.points if any(q == p for q, _ in values)]
    reach = min(0.5, max(0.1, *(abs(value.value - 0.5) for value in values.values())))
    return draw_matrix(values, points, summary.families(), style.diverging(0.5, reach), _told_apart)


def _told_apart(value: Value) -> bool:
    return value.above(0.5) or value.below(0.5)


def _draw(summary: Summary, values: dict[tuple[Point, str], Value]) -> MatplotlibFigure:
    points = [p for p in summary.points if any(q == p for q, _ in values)]
    attacks = [a for a in summary.attacks if any(b == a for _, b in values)]
    band = max(0.13, 0.055 * len(attacks))  # inches for one defense at one strength
    frame = 0.42 + 0.12 * -(-len(attacks) // 4)
    columns = themes.current().columns(len(points), band, _SLIDE_COLUMN, frame)
    rows = -(-len(points) // columns)
    figure = style.new_figure(frame + band * rows, None if columns == 1 else columns * _SLIDE_COLUMN)
    for number, ax in enumerate(figure.subplots(1, columns, sharex=True, squeeze=False).ravel()):
        _rows(ax, points[number * rows : (number + 1) * rows], attacks, values, 6 if len(points) <= 8 else 5.5)
        if number == 0:
            _names(ax, attacks)
        ax.axvline(0.5, color=style.GREY, linewidth=0.7, zorder=1)
        ax.set_ylim(rows - 0.5, -0.5)
        ax.set_xlabel("AUC of membership inference" if columns == 1 else "AUC")
    figure.legend(loc="outside upper center", ncols=min(4, len(attacks)), handletextpad=0.1, columnspacing=1.0,
                  borderpad=0.1, labelspacing=0.2)  # fmt: skip
    return figure


def _rows(
    ax: Axes, points: list[Point], attacks: list[str], values: dict[tuple[Point, str], Value], size: float
) -> None:
    """A row for each point, its attacks one below the other."""
    looks = {attack: look(slot) for slot, attack in enumerate(attacks)}
    offsets = np.linspace(-0.34, 0.34, len(attacks)) if len(attacks) > 1 else [0.0]
    for place, point in enumerate(points):
        if place % 2 == 0:
            ax.axhspan(place - 0.5, place + 0.5, color="#f3f3f3", linewidth=0, zorder=0)
        for attack, offset in zip(attacks, offsets, strict=True):
            value = values.get((point, attack))
            if value is None:
                continue
            its, y = looks[attack], place + offset
            if value.has_interval:
                ax.plot([value.low, value.high], [y, y], color=its.colour, linewidth=0.7, zorder=2)
            face = its.colour if _told_apart(value) else "white"
            ax.plot(value.value, y, linestyle="none", marker=its.marker, markersize=2.8, color=its.colour,
                    markerfacecolor=face, markeredgewidth=0.6, zorder=3)  # fmt: skip
    ax.set_yticks(range(len(points)), [style.column_name(p) for p in points], fontsize=size)
    ax.tick_params(axis="y", length=0)
    style.despine(ax)


def _names(ax: Axes, attacks: list[str]) -> None:
    """Give the legend an entry for each attack."""
    for slot, attack in enumerate(attacks):
        its = look(slot)
        ax.plot([], [], linestyle="none", marker=its.marker, markersize=3.2, color=its.colour, label=attack)
