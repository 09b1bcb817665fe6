"""Training images next to the nearest generated images, best matches first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.results.figures import Drawn, Figure, NotDrawn, register
from leakfront.results.figures.drawing import style, themes
from leakfront.results.run.point import Point
from leakfront.results.run.summary import EXTRACTION, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

    from leakfront.results.run.data import Cell, RunData

_PAIRS = 7  # in a row
_SLIDE_PAIRS = (7, 5, 4)  # in a row of a slide of one column, of two, of three and more
_STEP = 2.36  # from one pair to the next, in widths of an image
_ROWS = 16  # that fit a page


@register("gallery")
@dataclass(frozen=True)
class Gallery(Figure):
    """A row of pairs for each defense and strength; members and decoys are ranked together."""

    title = "Nearest matches"
    caption = (
        "First split of every defense: a pool image (left of each pair) and the generated image that matches it best "
        "(right), best matches of the whole pool first. Solid blue frame: a member, which the model could train on. "
        "Dashed orange frame: a decoy, which it never saw, so its match is chance. A triangle marks members extracted "
        "at the controlled false-discovery rate; ×n marks a member that was planted n times."
    )
    leakiest = f" With more than {_ROWS} models, each defense is shown at the strength that leaks the most images."

    def draw(self, run: RunData) -> Drawn | NotDrawn:
        summary = run.summary
        first: dict[Point, Cell] = {}
        for cell in run.cells:
            if EXTRACTION not in summary.attacks_on(cell.point, cell.split):
                continue
            first.setdefault(Point(cell.defense, cell.params), cell)
        crowded = len(first) > _ROWS
        if crowded:
            shown = {summary.leakiest(defense) for defense in summary.defenses}
            first = {point: cell for point, cell in first.items() if point in shown}
        if not first:
            return NotDrawn("the extraction attack was not run on any finished model")
        with style.theme():
            return Drawn(_draw(run, summary, first), self.title, self.caption + self.leakiest * crowded)


def _draw(run: RunData, summary: Summary, cells: dict[Point, Cell]) -> MatplotlibFigure:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    pair = style.WIDTH / (_STEP * _PAIRS) * _STEP  # inches from one pair to the next
    row_height = style.WIDTH / (_STEP * _PAIRS) * 1.3 + 0.16
    columns, pairs = _columns(len(cells), row_height, pair) if themes.current().slide else (1, _PAIRS)
    lines = math.ceil(len(cells) / columns)
    figure = style.new_figure(0.3 + row_height * lines, None if columns == 1 else columns * pairs * pair + 0.1)
    rows = figure.subplots(lines, columns, squeeze=False).T.ravel()
    for ax in rows[len(cells) :]:
        ax.set_axis_off()
    for ax, (point, cell) in zip(rows, cells.items(), strict=False):
        _row(ax, run, cell, summary.threshold(point, cell.split), pairs)
        found = summary.extracted(point, cell.split)
        count = f"{found.value:.0f} extracted" if found is not None and found.known else "extraction not measured"
        label = style.shortened(point.label, 60 if columns == 1 else 8 * pairs - 12)
        ax.set_title(f"{label}: {count}", loc="left", pad=0.5, fontsize=5.5)
    handles = [
        Patch(facecolor="none", edgecolor=style.MEMBER, label="member"),
        Patch(facecolor="none", edgecolor=style.DECOY, linestyle=(0, (2, 1)), label="decoy"),
        Line2D([], [], ls="none", marker="v", markersize=3, color="black", label=f"extracted, {summary.fdr} FDR"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=5.5)
    return figure


def _columns(models: int, height: float, pair: float) -> tuple[int, int]:
    """(columns, pairs in a row) with which so many models take the least room on a slide.

    One column has fewer and larger pairs where there is room.
    """
    theme = themes.current()
    shapes = [(columns, _SLIDE_PAIRS[min(columns, len(_SLIDE_PAIRS)) - 1]) for columns in range(1, models + 1)]
    found = min(shapes, key=lambda s: theme.size(0.3 + height * math.ceil(models / s[0]), s[0] * s[1] * pair))
    if found[0] > 1:
        return found
    width, whole = theme.size(0.3 + height * models)
    high = ((whole - 0.3) / models - 0.16) / 1.3  # inches that an image may be high
    return 1, int(np.clip(math.ceil(width / (_STEP * high)), 4, _PAIRS))


def _row(ax: Axes, run: RunData, cell: Cell, threshold: float, pairs: int) -> None:
    """The best matches of one model's pool."""
    from matplotlib.patches import Rectangle

    scores, members, pool = run.scores(cell, EXTRACTION), run.members(cell), run.pool_of(cell)
    matched = np.flatnonzero(scores["nearest_sample"] >= 0)
    ranked = matched[np.argsort(-scores["score"][matched], kind="stable")][:pairs]
    samples = run.samples(cell)
    for place, image in enumerate(ranked):
        left = place * _STEP
        for offset, pixels in ((0.0, pool["images"][image]), (1.06, samples[scores["nearest_sample"][image]])):
            extent = (left + offset, left + offset + 1, 0, 1)
            ax.imshow(_picture(pixels), cmap="gray", vmin=0, vmax=255, interpolation="nearest", extent=extent)
        member = bool(members[image])
        frame: dict[str, Any] = {
            "edgecolor": style.MEMBER if member else style.DECOY,
            "linestyle": "-" if member else (0, (2, 1)),
        }
        ax.add_patch(
            Rectangle((left - 0.05, -0.05), 2.16, 1.1, fill=False, linewidth=0.9, clip_on=False, zorder=3, **frame)
        )
        if member and scores["score"][image] >= threshold:
            ax.plot(left + 1.03, 1.18, marker="v", markersize=2.6, color="black", clip_on=False, markeredgewidth=0)
        if member and pool["copies"][image] > 1:
            ax.text(left + 2.08, 1.07, f"×{pool['copies'][image]}", fontsize=4.5, ha="right", va="bottom")
    ax.set_xlim(-0.1, pairs * _STEP - 0.2)
    ax.set_ylim(-0.1, 1.4)
    ax.set_aspect("equal", anchor="W")
    ax.set_axis_off()


def _picture(image: np.ndarray) -> np.ndarray:
    """uint8 [C, H, W] in the shape matplotlib takes: [H, W] for one channel, [H, W, 3] for three."""
    return image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
