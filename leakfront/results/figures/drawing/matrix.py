"""Attacks against defenses as a matrix of coloured cells with their numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.results.figures.drawing import style, themes
from leakfront.results.run.point import Point
from leakfront.results.run.value import Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = dict[tuple[Point, str], Value]

_ROW = 0.125  # inches
_COLUMN = 0.215  # the narrowest that holds a number
_MOST_COLUMNS = 25  # side by side; further ones are drawn below
_TEXT = 5.2
_MISSING = "#f0f0f0"


def draw_matrix(
    values: Values,
    points: Sequence[Point],
    families: dict[str, list[str]],
    colour: style.Colour,
    marked: Callable[[Value], bool],
) -> Figure:
    """A row for each attack, the families apart; a column for each point; the number in its cell.

    colour: of a value. marked: whether a number is printed in bold. Cells without a known value are hatched. The figure
    is one column of a paper wide, or wider, up to the whole page, if the points need it.
    """
    attacks = [attack for group in families.values() for attack in group]
    names = [style.column_name(point) for point in points]
    left = 0.08 + max(_inches(style.shortened(attack)) for attack in attacks)
    right = 0.08 + (max(_inches(name) for name in families) if len(families) > 1 else 0.0)
    panels = math.ceil(len(points) / _MOST_COLUMNS)
    columns = math.ceil(len(points) / panels)
    gaps = 0.3 * (len(families) - 1)
    theme, longest = themes.current(), max(_inches(name) for name in names)
    width = max(theme.width, min(left + right + _COLUMN * columns, theme.page))
    flat = longest + 0.08 < (width - left - right) / columns
    bottom, row = 0.14 if flat else 0.06 + longest, _ROW
    panel = row * (len(attacks) + gaps) + bottom + 0.04
    figure = style.new_figure(panel * panels, width)
    figure.set_layout_engine("none")
    if theme.slide:  # more room than asked for
        width, panel = figure.get_figwidth(), figure.get_figheight() / panels
        flat = longest + 0.08 < (width - left - right) / columns
        bottom = 0.14 if flat else bottom
        row = (panel - bottom - 0.04) / (len(attacks) + gaps)
    cell = (width - left - right) / columns
    for number in range(panels):
        mine = points[number * columns : (number + 1) * columns]
        top, height = panel * number + 0.03, row * (len(attacks) + gaps)
        box = (left / width, 1 - (top + height) / (panel * panels), cell * len(mine) / width, height / (panel * panels))
        ax = figure.add_axes(box)
        _panel(ax, values, mine, families, colour, marked)
        ticks = names[number * columns : number * columns + len(mine)]
        ax.set_xticks(range(len(mine)), ticks, rotation=0 if flat else 90)
        ax.tick_params(axis="both", length=0, labelsize=_TEXT, pad=1.5)
    return figure


def _panel(
    ax: Axes,
    values: Values,
    points: Sequence[Point],
    families: dict[str, list[str]],
    colour: style.Colour,
    marked: Callable[[Value], bool],
) -> None:
    from matplotlib.patches import Rectangle

    ticks: dict[float, str] = {}
    y = 0.0
    for name, group in families.items():
        middle = y + (len(group) - 1) / 2
        beside: dict[str, Any] = {
            "xycoords": ("axes fraction", "data"),
            "xytext": (3, 0),
            "textcoords": "offset points",
        }
        if len(families) > 1:
            ax.annotate(name, (1, middle), fontsize=_TEXT, color=style.GREY, va="center_baseline", **beside)
        for attack in group:
            ticks[y] = style.shortened(attack)
            for x, point in enumerate(points):
                value = values.get((point, attack))
                known = value is not None and value.known
                face = colour(value.value) if value is not None and known else _MISSING
                cell: dict[str, Any] = {"facecolor": face, "edgecolor": "white", "linewidth": 0.5}
                if not known:
                    cell |= {"hatch": "//////", "edgecolor": "#cfcfcf", "linewidth": 0}
                ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, **cell))
                if value is not None and known:
                    weight = "bold" if marked(value) else "normal"
                    ink = _ink(colour(value.value))
                    ax.text(x, y, short(value.value), fontsize=_TEXT, ha="center", va="center_baseline", color=ink,
                            fontweight=weight)  # fmt: skip
            y += 1
        y += 0.3
    ax.set_xlim(-0.5, len(points) - 0.5)
    ax.set_ylim(y - 0.8, -0.5)
    ax.set_yticks(list(ticks), list(ticks.values()))
    for spine in ax.spines.values():
        spine.set_visible(False)
    for place in range(1, len(points)):  # the strengths of one defense belong together
        if points[place].defense != points[place - 1].defense:
            ax.axvline(place - 0.5, color="white", linewidth=2.0, zorder=1.5)


def short(value: float) -> str:
    """Two decimals in little room: ".03", "1", and "0" only for exactly 0."""
    text = f"{value:.2f}"
    if value == 0 or text == "1.00":
        return f"{value:.0f}"
    return text.removeprefix("0")


def _ink(colour: tuple[float, float, float, float]) -> str:
    """Black or white, whichever stands out on the colour."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return "black" if float(np.dot(linear, (0.2126, 0.7152, 0.0722))) > 0.2 else "white"


def _inches(text: str) -> float:
    """The width of a label."""
    return style.width_of(text, _TEXT) / 72
