"""Leakage at equal quality: every defense that reaches a FID, lowest AUC first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakfront.results.figures import Drawn, Figure, NotDrawn, register
from leakfront.results.figures.drawing import style, themes
from leakfront.results.figures.drawing.looks import looks_of
from leakfront.results.run.summary import Summary
from leakfront.results.run.value import Value
from leakfront.results.tables.matched import FACTORS, Leak, Matched, at_equal_fid
from leakfront.results.tables.table import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

    from leakfront.results.run.data import RunData

_ROW, _HEAD, _FOOT = 0.12, 0.2, 0.36  # inches: a defense, the title of a FID, the axes' names
_STACKED, _SLIDE = 30, 24  # rows that a column of a paper holds, and a slide
_LEAKS: tuple[Leak, Leak] = ("auc", "extracted")


@register("matched")
@dataclass(frozen=True)
class MatchedFigure(Figure):
    """At each FID, a row for each defense: the AUC of one attack, and the images extracted."""

    title = "Leakage at equal quality"
    shows_images = False

    def draw(self, run: RunData) -> Drawn | NotDrawn:
        found, summary = at_equal_fid(run), run.summary
        if found is None:
            return NotDrawn("no defense has strengths whose FIDs enclose one that is compared")
        caption = (
            f"Each defense of several strengths, read off its own curve at {', '.join(f'{f:g}' for f in FACTORS)} "
            f"times the FID of the undefended model, as in the table: the AUC of {found.attack}, which "
            f"{summary.why_leading}, and the images extracted at {summary.fdr} FDR (square-root axis). Means over "
            "splits with 95% intervals. At each FID, the defense with the lowest AUC comes first; defenses whose "
            "strengths do not enclose the FID are left out. Dashed: the undefended model at its own FID. Dotted: "
            "guessing."
        )
        with style.theme():
            return Drawn(_draw(summary, found), self.title, caption)


def _draw(summary: Summary, found: Matched) -> MatplotlibFigure:
    rows = {factor: _sorted(found, factor) for factor in FACTORS}
    rows = {factor: defenses for factor, defenses in rows.items() if defenses}
    most, theme = max(map(len, rows.values())), themes.current()
    wide = sum(map(len, rows.values())) > (_SLIDE if theme.slide else _STACKED)
    if wide:
        figure = style.new_figure(_FOOT + _HEAD + _ROW * most, theme.page)
        grid = figure.subplots(1, 2 * len(rows), squeeze=False).reshape(len(rows), 2)
    else:
        figure = style.new_figure(_FOOT + sum(_HEAD + _ROW * len(defenses) for defenses in rows.values()))
        heights = [len(defenses) + 0.6 for defenses in rows.values()]
        grid = figure.subplots(len(rows), 2, sharex="col", squeeze=False, height_ratios=heights)
    for (factor, defenses), axes in zip(rows.items(), grid, strict=True):
        for ax, leak in zip(axes, _LEAKS, strict=True):
            _panel(ax, summary, found, factor, defenses, leak)
            ax.set_ylim((most if wide else len(defenses)) - 0.5, -0.5)
            _scale(ax, summary, found, leak, 0.25 if wide else 0.12)
        axes[0].set_yticks(range(len(defenses)), [style.shortened(name, 15 if wide else 22) for name in defenses])
        axes[1].set_yticks([])
        axes[0].set_title(
            f"FID {number(factor * found.fid)} ({factor:g} × undefended)", loc="left", pad=2, fontsize=6.5
        )
    for axes in grid if wide else grid[-1:]:
        axes[0].set_xlabel("AUC" if wide else f"AUC of {style.shortened(found.attack)}")
        axes[1].set_xlabel("extracted" if wide else f"extracted, {summary.fdr} FDR")
    undefended = _undefended(summary, found, "extracted")
    if undefended is not None and not wide:
        ax, x = grid[0, 1], undefended.value
        left = ax.transLimits.transform(ax.transScale.transform((x, 0)))[0] < 0.6
        ax.annotate("undefended", (x, 1), xycoords=("data", "axes fraction"), xytext=(-2 if left else 2, 2),
                    textcoords="offset points", ha="left" if left else "right", va="bottom", fontsize=5.5)  # fmt: skip
    return figure


def _sorted(found: Matched, factor: float) -> list[str]:
    """The defenses that have a number at a FID, the lowest AUC first."""

    def leaks(defense: str) -> list[float]:
        values = [found.values[defense, factor, leak] for leak in _LEAKS]
        return [math.inf if value is None else value.value for value in values]

    return sorted((d for d in found.defenses if min(leaks(d)) < math.inf), key=leaks)


def _panel(ax: Axes, summary: Summary, found: Matched, factor: float, defenses: list[str], leak: Leak) -> None:
    looks = looks_of(summary)
    for y, defense in enumerate(defenses):
        value, look = found.values[defense, factor, leak], looks[defense]
        if y % 2 == 0:
            ax.axhspan(y - 0.5, y + 0.5, color="#f3f3f3", linewidth=0, zorder=0)
        if value is None:
            continue
        if value.has_interval:
            ax.plot([value.low, value.high], [y, y], color=look.colour, linewidth=0.8, zorder=2)
        ax.plot(value.value, y, linestyle="none", marker=look.marker, markersize=3.6, color=look.colour,
                markerfacecolor=look.face, markeredgewidth=0.7, zorder=3, clip_on=False)  # fmt: skip
    undefended = _undefended(summary, found, leak)
    if undefended is not None:
        ax.axvline(undefended.value, color="black", linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
    ax.tick_params(axis="y", length=0)
    style.despine(ax)


def _undefended(summary: Summary, found: Matched, leak: Leak) -> Value | None:
    point = summary.undefended
    value = summary.extracted(point) if leak == "extracted" else summary.value(point, found.attack, "auc")
    return value if value is not None and value.known else None


def _scale(ax: Axes, summary: Summary, found: Matched, leak: Leak, gap: float) -> None:
    """The same axis at every FID. gap: between ticks, of its length."""
    values = [value for (_, _, kind), value in found.values.items() if kind == leak and value is not None]
    undefended = _undefended(summary, found, leak)
    ends = [end for v in values for end in ((v.low, v.high) if v.has_interval else (v.value,))]
    ends += [v.value for v in values] + ([undefended.value] if undefended is not None else [])
    if leak == "extracted":
        style.count_scale(ax, max(ends, default=1.0), "x", gap)
        return
    ax.axvline(0.5, color=style.GREY, linewidth=0.6, linestyle=(0, (1, 1.5)), zorder=1)
    low, high = min([0.5, *(max(end, style.LOWEST_AUC) for end in ends)]), max([0.5, *ends])
    ax.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
