"""Membership inference on the undefended model: ROC curves on logarithmic axes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from results.figures import figures, style
from results.points import Point, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from results.run_data import Cell, RunData


@figures.register("roc")
class Roc:
    """A panel for each attack, with its band; the other attacks stay visible in grey."""

    title = "ROC of every attack on the undefended model"
    caption = (
        "True-positive rate against false-positive rate of each attack on the undefended model of the first split "
        "(where the run has no undefended model: its first model), with the pointwise 95% band; the other attacks in "
        "grey. The dashed diagonal is guessing. Left of the dotted line, at one false positive among the decoys, no "
        "rate can be measured."
    )

    def __init__(self) -> None:
        self.reason = ""

    def draw(self, run: RunData) -> Figure | None:
        summary = Summary(run)
        if not run.cells or not summary.attacks:
            self.reason = "no model was attacked"
            return None
        baseline = summary.baselines[0] if summary.baselines else summary.points[0]
        cells = [cell for cell in run.cells if (cell.defense, cell.params) == (baseline.defense, baseline.params)]
        cell = cells[0] if cells else run.cells[0]
        with style.paper():
            return _draw(run, summary, cell)


def _draw(run: RunData, summary: Summary, cell: Cell) -> Figure:
    from results.statistics.roc import roc_band

    members = run.members(cell)
    decoys = int((~members).sum())
    lowest = 1 / decoys
    counts = np.arange(1, decoys + 1)
    if decoys > 400:
        counts = np.unique(np.geomspace(1, decoys, 400).astype(int))
    grid = counts / decoys  # the only rates there are; between them the curve is level
    bands = {a: roc_band(run.scores(cell, a)["score"], members, grid, seed=0) for a in summary.attacks}
    columns = 2 if len(bands) <= 6 else 3
    rows = math.ceil(len(bands) / columns)
    figure = style.new_figure(0.35 + rows * (1.3 if columns == 2 else 1.05))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    floor = 0.6 / max(int(members.sum()), 1)
    for ax, (attack, (tpr, low, high)) in zip(panels, bands.items(), strict=False):
        for other, (curve, _, _) in bands.items():
            if other != attack:
                ax.step(grid, np.maximum(curve, floor), where="post", color=style.FAINT, linewidth=0.5, zorder=1)
        ax.fill_between(
            grid,
            np.maximum(low, floor),
            np.maximum(high, floor),
            color=style.MEMBER,
            alpha=0.2,
            linewidth=0,
            step="post",
            zorder=2,
        )
        ax.step(grid, np.maximum(tpr, floor), where="post", color=style.MEMBER, zorder=3)
        auc = summary.value(Point(cell.defense, cell.params), attack, "auc", cell.split)
        score = f"AUC {auc.value:.2f}" if auc is not None and auc.known else "AUC n/a"
        _decorate(ax, lowest, floor)
        ax.set_title(f"{attack}, {score}", loc="left", pad=2, fontsize=6.5 if columns == 2 else 5.5)
    for ax in panels[len(bands) :]:
        ax.set_axis_off()
    for index, ax in enumerate(panels[: len(bands)]):
        last = index + columns >= len(bands)
        ax.tick_params(labelbottom=last)
    figure.supxlabel("false-positive rate", fontsize=7)
    figure.supylabel("true-positive rate", fontsize=7)
    return figure


def _decorate(ax: Axes, lowest: float, floor: float) -> None:
    """Axes, the diagonal, and the false-positive rates that so few decoys cannot show."""
    from matplotlib.ticker import FuncFormatter

    left = lowest * 0.6
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(left, 1.05)
    ax.set_ylim(floor, 1.15)
    ax.plot([left, 1], [left, 1], color=style.GREY, linewidth=0.6, linestyle=(0, (4, 2)), zorder=1.5)
    ax.axvline(lowest, color=style.GREY, linewidth=0.6, linestyle=(0, (1, 1.5)), zorder=1.5)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
        axis.set_minor_formatter(FuncFormatter(lambda rate, _: ""))
    style.despine(ax)
