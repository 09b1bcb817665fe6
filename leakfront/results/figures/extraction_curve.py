"""How many training images come out as more are sampled: unique images against samples drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from leakfront.results.figures import figures
from leakfront.results.figures.drawing import style, themes
from leakfront.results.run.summary import EXTRACTION, Point, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from leakfront.results.run.data import Cell, RunData


@figures.register("extraction_curve")
class ExtractionCurve:
    """Two rules, one above the other: at a 5% false-discovery rate, and the paper's fixed threshold with its null."""

    title = "Extraction against the number of samples"
    caption = (
        "Unique pool images matched by the first m samples in the order in which they were drawn, mean over splits "
        "(thick steps; shaded: range over the splits). Every defense at the strength that lets out the most. Thin "
        "dashes: the expectation, sum over images of 1 - (1 - p)^m, with each image's rate p estimated as the share of "
        "the samples that match it, continued to four times the samples drawn (grey ground). An image that no sample "
        "matched has an estimated rate of 0, so that the continuation is a floor and cannot rise above the count that "
        "was observed. {0}: members matched at the threshold of the controlled false-discovery rate (FDR). {1}: "
        "members and decoys (dotted) matched by the fixed rule, adaptive distance below 1. Decoys were never trained "
        "on: their curve is what chance resemblance gives, and only members in excess of it were extracted."
    )

    def __init__(self) -> None:
        self.reason = ""

    def draw(self, run: RunData) -> Figure | None:
        summary = run.summary
        if EXTRACTION not in summary.attacks:
            self.reason = "the extraction attack was not run"
            return None
        if not run.cells:
            self.reason = "no model was trained to the end"
            return None
        self.caption = self.caption.format(*(("Left", "Right") if themes.current().slide else ("Above", "Below")))
        if len({source.info.get("samples_per_model") for source in run.sources}) > 1:
            self.caption = self.caption.replace(" (grey ground)", "")
        with style.theme():
            return _draw(run, summary)


def _draw(run: RunData, summary: Summary) -> Figure:
    curves = {defense: _curves(run, summary, defense) for defense in summary.defenses}
    curves = {defense: found for defense, found in curves.items() if found}
    drawn = {int(found["at"][-1]) for found in curves.values()}  # more than one number only in runs that differ
    most = max(int(found["beyond"][-1]) for found in curves.values())
    looks = style.looks(summary.defenses)
    if themes.current().slide:
        figure = style.new_figure(2.5 if len(curves) <= 6 else max(2.7, 0.75 + len(curves) * 6 / 72))
        upper, lower = figure.subplots(1, 2, sharex=True)
    else:
        figure = style.new_figure(3.0 if len(curves) <= 6 else 3.9)
        upper, lower = figure.subplots(2, 1, sharex=True)
    for defense, found in curves.items():
        colour, at, beyond = looks[defense].colour, found["at"], found["beyond"]
        for ax, kind in ((upper, "controlled"), (lower, "members")):
            ax.step(at, found[kind].mean(axis=0), where="post", color=colour, linewidth=1.2, zorder=3)
            low, high = found[kind].min(axis=0), found[kind].max(axis=0)
            ax.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0, step="post", zorder=2)
            expected = found[f"{kind} expected"].mean(axis=0)
            ax.plot(beyond, expected, color=colour, linewidth=0.6, linestyle=(0, (3, 1.5)), zorder=3.2)
        lower.step(
            at,
            found["decoys"].mean(axis=0),
            where="post",
            color=colour if len(curves) <= 4 else style.GREY,
            linestyle=(0, (1, 1)),
            linewidth=0.9 if len(curves) <= 4 else 0.6,
            zorder=2.5,
        )
    for ax, kinds in ((upper, ("controlled",)), (lower, ("members", "decoys"))):
        ax.set_xscale("log")
        style.count_scale(ax, max(found[kind].max() for found in curves.values() for kind in kinds))
        ax.set_ylabel("unique images")
        if len(drawn) == 1:
            ax.axvspan(*drawn, most, color="#efefef", linewidth=0, zorder=0)
        style.despine(ax)
    upper.set_title(f"members, {summary.fdr} FDR", loc="left", pad=2)
    if themes.current().slide:  # no room above for a second title
        for ax in (upper, lower):
            ax.set_xlabel("samples drawn" + ("; grey: expected" if len(drawn) == 1 else ""))
    else:
        upper.set_title("expected", loc="right", pad=2, fontsize=5.5, color=style.GREY)
        lower.set_xlabel("samples drawn")
    lower.set_title("fixed rule; decoys dotted", loc="left", pad=2)
    lower.set_xlim(1, most)
    style.ticks(lower, "x", gap=0.2 if themes.current().slide else 0.13)
    last = {
        kind: {name: float(found[f"{kind} expected"].mean(axis=0)[-1]) for name, found in curves.items()}
        for kind in ("controlled", "members")
    }
    for ax, kind in ((upper, "controlled"), (lower, "members")):
        for name, found in curves.items():
            if (end := found["beyond"][-1]) < most:  # a level thread to where it is named
                ax.plot([end, most], [last[kind][name]] * 2, color=looks[name].colour, linewidth=0.4, zorder=2)
    _end_labels({upper: last["controlled"], lower: last["members"]}, float(most), looks)
    return figure


def _curves(run: RunData, summary: Summary, defense: str) -> dict[str, np.ndarray]:
    """The curves [S, K] of a defense at the strength that lets out the most; empty if no split finished."""
    worst = summary.leakiest(defense)
    cells = [cell for cell in run.cells if (cell.defense, cell.params) == (defense, worst.params)]
    rows = [_curve(run, summary, cell) for cell in cells if EXTRACTION in summary.attacks_on(cell.point, cell.split)]
    if not rows:
        return {}
    shared = ("at", "beyond")
    return {name: rows[0][name] if name in shared else np.stack([row[name] for row in rows]) for name in rows[0]}


def _curve(run: RunData, summary: Summary, cell: Cell) -> dict[str, np.ndarray]:
    """The curves of one model, from the pairs of generated and pool images that match: counts at `at` samples, and
    their expectation at `beyond`, which goes on to four times the samples drawn."""
    from leakfront.results.statistics.counts import unique_expected, unique_observed

    scores, members = run.scores(cell, EXTRACTION), run.members(cell)
    pairs, distances = scores["neighbours"], scores["neighbour_scores"]
    samples = len(pairs)
    at, beyond = (np.unique(np.geomspace(1, most, 400).astype(int)) for most in (samples, 4 * samples))
    # the score is minus the distance; distances are stored in single precision, so the threshold's own is let in
    limit = -summary.threshold(Point(cell.defense, cell.params), cell.split) * (1 + 1e-6)
    curves = {"at": at, "beyond": beyond}
    for kind, matched, of in (
        ("controlled", distances <= limit, members),
        ("members", distances < 1, members),
        ("decoys", distances < 1, ~members),
    ):
        hits = np.bincount(pairs[matched].ravel(), minlength=len(members))
        curves[kind] = unique_observed(pairs, matched, of, at)
        curves[f"{kind} expected"] = unique_expected(hits[of] / samples, beyond)
    return curves


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
