"""How many training images come out as more are sampled: unique images against samples drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from results.figures import figures, style
from results.points import EXTRACTION, Point, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from results.run_data import Cell, RunData


@figures.register("extraction_curve")
class ExtractionCurve:
    """Two rules, one above the other: at a 5% false-discovery rate, and the paper's fixed threshold with its null."""

    title = "Extraction against the number of samples"
    caption = (
        "Unique pool images matched among the first m samples, in expectation over the order of the samples "
        "(rarefaction); thick: mean over splits, thin: each split. Every defense at the strength that lets out the "
        "most. Above: members matched at the threshold of the controlled false-discovery rate (FDR). Below: members "
        "and decoys (dashed) matched by the fixed rule, adaptive distance below 1. Decoys were never trained on: their "
        "curve is what chance resemblance gives, and only members in excess of it were extracted."
    )

    def __init__(self) -> None:
        self.reason = ""

    def draw(self, run: RunData) -> Figure | None:
        summary = Summary(run)
        if EXTRACTION not in summary.attacks:
            self.reason = "the extraction attack was not run"
            return None
        if not run.cells:
            self.reason = "no model was trained to the end"
            return None
        with style.paper():
            return _draw(run, summary)


def _draw(run: RunData, summary: Summary) -> Figure:
    curves = {defense: _curves(run, summary, defense) for defense in summary.defenses}
    curves = {defense: found for defense, found in curves.items() if found}
    at = next(iter(curves.values()))["at"]
    looks = style.looks(summary.defenses)
    figure = style.new_figure(3.0 if len(curves) <= 6 else 3.9)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for defense, found in curves.items():
        colour = looks[defense].colour
        for ax, kind in ((upper, "controlled"), (lower, "members")):
            ax.plot(at, found[kind].mean(axis=0), color=colour, zorder=3)
            ax.plot(at, found[kind].T, color=colour, linewidth=0.4, alpha=0.45, zorder=2.5)
        lower.plot(
            at,
            found["decoys"].mean(axis=0),
            color=colour if len(curves) <= 4 else style.GREY,
            linestyle=(0, (3, 1.5)),
            linewidth=0.8 if len(curves) <= 4 else 0.5,
            zorder=2,
        )
    for ax, kinds in ((upper, ("controlled",)), (lower, ("members", "decoys"))):
        ax.set_xscale("log")
        style.count_scale(ax, max(found[kind].max() for found in curves.values() for kind in kinds))
        ax.set_ylabel("unique images")
        style.despine(ax)
    upper.set_title(f"members, {summary.fdr} FDR", loc="left", pad=2)
    lower.set_title("fixed rule; decoys dashed", loc="left", pad=2)
    lower.set_xlim(1, at[-1])
    lower.set_xlabel("samples drawn")
    style.ticks(lower, "x", gap=0.1)
    last = {kind: {d: float(c[kind].mean(axis=0)[-1]) for d, c in curves.items()} for kind in ("controlled", "members")}
    _end_labels({upper: last["controlled"], lower: last["members"]}, float(at[-1]), looks)
    return figure


def _curves(run: RunData, summary: Summary, defense: str) -> dict[str, np.ndarray]:
    """The curves [S, K] of a defense at the strength that lets out the most; empty if no split finished."""
    worst = summary.leakiest(defense)
    rows = [_curve(run, summary, cell) for cell in run.cells if (cell.defense, cell.params) == (defense, worst.params)]
    if not rows:
        return {}
    curves = {kind: np.stack([row[kind] for row in rows]) for kind in ("controlled", "members", "decoys")}
    return {"at": rows[0]["at"], **curves}


def _curve(run: RunData, summary: Summary, cell: Cell) -> dict[str, np.ndarray]:
    """The curves [K] of one model, from the pairs of generated and pool images that match."""
    from results.statistics.counts import unique_curve

    scores, members = run.scores(cell, EXTRACTION), run.members(cell)
    pairs, distances = scores["neighbours"], scores["neighbour_scores"]
    samples = len(pairs)
    at = np.unique(np.geomspace(1, samples, 80).astype(int))
    # the score is minus the distance; distances are stored in single precision, so the threshold's own is let in
    limit = -summary.threshold(Point(cell.defense, cell.params), cell.split) * (1 + 1e-6)

    def unique(matched: np.ndarray, of: np.ndarray) -> np.ndarray:
        hits = np.bincount(pairs[matched].ravel(), minlength=len(members))
        return unique_curve(np.where(of, hits, 0), samples, at)

    return {
        "at": at,
        "controlled": unique(distances <= limit, members),
        "members": unique(distances < 1, members),
        "decoys": unique(distances < 1, ~members),
    }


def _end_labels(ends: dict[Axes, dict[str, float]], x: float, looks: dict[str, style.Look]) -> None:
    """Name each line at its right end, spread so that no two names overlap, with a thin line to where it ends."""
    crowd = max(len(lines) for lines in ends.values())
    size, gap = (6.0, 7.2) if crowd <= 8 else (5.2, 6.0)
    texts = {
        (ax, name): ax.annotate(
            style.shortened(name),
            (x, y),
            xytext=(1.05, 0.5),
            textcoords="axes fraction",
            fontsize=size,
            va="center",
            color=looks[name].colour,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "linewidth": 0.4,
                "color": looks[name].colour,
                "shrinkA": 0,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )
        for ax, lines in ends.items()
        for name, y in lines.items()
    }
    figure = next(iter(ends)).figure.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # fixes the room that the names take
    for ax, lines in ends.items():
        height = ax.get_window_extent().height / figure.dpi * 72
        along = ax.transData + ax.transAxes.inverted()
        at = {name: float(along.transform((x, y))[1]) * height for name, y in lines.items()}
        names = sorted(at, key=lambda name: at[name])
        for name, spot in zip(names, spread([at[name] for name in names], gap, height - 2), strict=True):
            texts[ax, name].xyann = (1.05, spot / height)


def spread(heights: list[float], gap: float, top: float) -> list[float]:
    """The heights nearest (least squares) to the ascending ones given, `gap` apart, in 0 … `top` if they fit."""
    groups: list[tuple[float, int]] = []  # (mean of height - rank * gap, size): pooled while neighbours are too close
    for rank, height in enumerate(heights):
        mean, size = height - rank * gap, 1
        while groups and groups[-1][0] > mean:
            before, count = groups.pop()
            mean, size = (mean * size + before * count) / (size + count), size + count
        groups.append((mean, size))
    highest = top - (len(heights) - 1) * gap
    level = [max(0.0, min(mean, highest)) for mean, size in groups for _ in range(size)]
    return [value + rank * gap for rank, value in enumerate(level)]
