"""Unique training images extracted against the number of samples drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leakfront.results.figures import Drawn, Figure, NotDrawn, register
from leakfront.results.figures.drawing import style, themes
from leakfront.results.figures.drawing.end_labels import end_labels
from leakfront.results.figures.drawing.looks import looks_of
from leakfront.results.run.point import Point
from leakfront.results.run.summary import EXTRACTION, Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

    from leakfront.results.run.data import Cell, RunData


@register("extraction_curve")
@dataclass(frozen=True)
class ExtractionCurve(Figure):
    """Two panels: a controlled false-discovery rate, and the fixed threshold of Carlini et al. with its decoys."""

    title = "Extraction against the number of samples"
    shows_images = False
    caption = (
        "Unique pool images matched by the first m samples in the order drawn, mean over splits (thick steps; shaded: "
        "range over splits). Each defense is shown at the strength that leaks the most images. Thin dashes: the "
        "expectation, sum over images of 1 - (1 - p)^m, where an image's rate p is the share of samples that match it; "
        "they continue to four times the samples drawn{ground}. An image that no sample matched has an estimated rate "
        "of 0, so the continuation is a lower bound and cannot exceed the observed count. {first}: members matched at "
        "the threshold of the controlled false-discovery rate (FDR). {second}: members and decoys (dotted) matched by "
        "the fixed rule, adaptive distance below 1. Decoys were never trained on: their curve shows chance "
        "resemblance, and only members in excess of it were extracted."
    )

    def draw(self, run: RunData) -> Drawn | NotDrawn:
        summary = run.summary
        if EXTRACTION not in summary.attacks:
            return NotDrawn("the extraction attack was not run")
        if not run.cells:
            return NotDrawn("no model was trained to the end")
        first, second = ("Left", "Right") if themes.current().slide else ("Above", "Below")
        one_count = len({source.info.get("samples_per_model") for source in run.sources}) == 1
        caption = self.caption.format(first=first, second=second, ground=" (grey ground)" if one_count else "")
        with style.theme():
            return Drawn(_draw(run, summary), self.title, caption)


def _draw(run: RunData, summary: Summary) -> MatplotlibFigure:
    curves = {defense: _curves(run, summary, defense) for defense in summary.defenses}
    curves = {defense: found for defense, found in curves.items() if found}
    drawn = {int(found["at"][-1]) for found in curves.values()}  # more than one number only in runs that differ
    most = max(int(found["beyond"][-1]) for found in curves.values())
    looks = looks_of(summary)
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
        dotted = (colour, 0.9) if len(curves) <= 4 else (style.GREY, 0.6)
        lower.step(at, found["decoys"].mean(axis=0), where="post", color=dotted[0], linestyle=(0, (1, 1)),
                   linewidth=dotted[1], zorder=2.5)  # fmt: skip
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
    end_labels({upper: last["controlled"], lower: last["members"]}, float(most), looks)
    return figure


def _curves(run: RunData, summary: Summary, defense: str) -> dict[str, np.ndarray]:
    """The curves [S, K] of a defense at the strength that leaks the most images; empty if no split finished."""
    worst = summary.leakiest(defense)
    cells = [cell for cell in run.cells if (cell.defense, cell.params) == (defense, worst.params)]
    rows = [_curve(run, summary, cell) for cell in cells if EXTRACTION in summary.attacks_on(cell.point, cell.split)]
    if not rows:
        return {}
    shared = ("at", "beyond")
    return {name: rows[0][name] if name in shared else np.stack([row[name] for row in rows]) for name in rows[0]}


def _curve(run: RunData, summary: Summary, cell: Cell) -> dict[str, np.ndarray]:
    """The curves of one model, from the pairs of generated and pool images that match.

    Counts are at `at` samples; their expectation is at `beyond`, which continues to four times the samples drawn.
    """
    from leakfront.results.statistics.counts import unique_expected, unique_observed

    scores, members = run.scores(cell, EXTRACTION), run.members(cell)
    pairs, distances = scores["neighbours"], scores["neighbour_scores"]
    samples = len(pairs)
    at, beyond = (np.unique(np.geomspace(1, most, 400).astype(int)) for most in (samples, 4 * samples))
    # the score is minus the distance; distances are stored in single precision, so the threshold itself must pass
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
