"""Claimed against audited privacy: the epsilon of the guarantee and the lower bound that the attacks prove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leakfront.results.figures import Drawn, Figure, NotDrawn, register
from leakfront.results.figures.drawing import style
from leakfront.results.figures.drawing.labels import Label, place
from leakfront.results.figures.drawing.looks import Look, looks_of
from leakfront.results.run.point import Point
from leakfront.results.run.saturation import WHY, strongest_is_saturated
from leakfront.results.run.summary import Summary
from leakfront.results.run.value import Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

    from leakfront.results.run.data import RunData


@register("audit")
@dataclass(frozen=True)
class Audit(Figure):
    """Left: claims, with the diagonal that no bound may cross. Right: defenses without a claim."""

    title = "Claimed and audited epsilon"
    shows_images = False
    caption = (
        "Lower bound on epsilon that a one-run audit proves at 95% confidence against the epsilon that the defense "
        "claims; axes are logarithmic above 1. Markers: the highest bound over attacks, splits and numbers of "
        "guesses, corrected for all of them. Small dots: single splits, not corrected for the number of splits. A "
        "point above the diagonal refutes its claim. Dashed line: the most that an audit of this size could prove. "
        "Right: defenses that claim nothing. Images planted several times are left out of the audit."
    )

    def draw(self, run: RunData) -> Drawn | NotDrawn:
        summary = run.summary
        bounds = {point: summary.strongest(point, "epsilon_lower_bound") for point in summary.points}
        known = {point: bound[1] for point, bound in bounds.items() if bound is not None}
        if not known:
            return NotDrawn("no attack has an audited lower bound on epsilon")
        guarantees = run.info.get("guarantees", {})
        claims = {p: float(guarantees[p.label]["epsilon"]) for p in known if guarantees.get(p.label)}
        with style.theme():
            return Drawn(_draw(summary, known, claims), self.title, f"{self.caption}{_arrows(summary, known)}")


def _arrows(summary: Summary, bounds: dict[Point, Value]) -> str:
    """What the arrows in the plot mean, if there are any."""
    drawn = any(strongest_is_saturated(summary, point) for point in bounds)
    return f" Arrow: the audit is saturated; {WHY}." if drawn else ""


def _draw(summary: Summary, bounds: dict[Point, Value], claims: dict[Point, float]) -> MatplotlibFigure:
    figure = style.new_figure(2.3 if len(bounds) <= 8 else 2.8)
    silent = [point for point in bounds if point not in claims]
    if claims and silent:
        ax, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.0, max(0.6, min(1.4, 0.12 * len(silent)))])
    else:
        ax = right = figure.subplots()
    looks = looks_of(summary)
    ceiling = _ceiling(summary, bounds)
    highest = max([v.value for v in bounds.values()] + [v for p in bounds for v in _splits(summary, p)])
    room = 1.9 if _arrows(summary, bounds) else 1.35
    top = max(highest, ceiling if np.isfinite(ceiling) else 0.0, 0.1) * room
    for panel in dict.fromkeys((ax, right)):
        if np.isfinite(ceiling):
            panel.axhline(ceiling, color=style.GREY, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
        panel.set_yscale("asinh", linear_width=0.5)
        panel.set_ylim(-0.1, top)
        style.ticks(panel, "y", [0.0, *(s for s in style.STEPS if s >= 0.2)], gap=0.08)
        style.despine(panel)
    ax.set_ylabel("audited lower bound on ε")
    if silent:
        _silent(summary, right, {point: bounds[point] for point in silent}, looks)
    if claims:
        _claimed(summary, ax, {point: (claims[point], bounds[point]) for point in claims}, looks, top)
    if np.isfinite(ceiling):
        right.annotate("dashed: ceiling of this audit", (1, 1), xycoords="axes fraction", xytext=(-1, 0),
                       textcoords="offset points", fontsize=5.5, color=style.GREY, va="top", ha="right")  # fmt: skip
    return figure


def _claimed(
    summary: Summary, ax: Axes, points: dict[Point, tuple[float, Value]], looks: dict[str, Look], top: float
) -> None:
    """Draw the points at their claimed epsilon and the diagonal, which is straight as both axes share a scale."""
    ax.set_xscale("asinh", linear_width=0.5)
    ax.set_xlim(0, 1.8 * max(*(claim for claim, _ in points.values()), top))
    style.ticks(ax, "x", [0.0, *(s for s in style.STEPS if s >= 0.2)], gap=0.13)
    diagonal = np.array([0, top])
    ax.plot(diagonal, diagonal, color=style.GREY, linewidth=0.7, zorder=1)
    paths = [np.stack([diagonal, diagonal], axis=1)]
    for point, (claim, bound) in points.items():
        _mark(ax, claim, bound.value, _splits(summary, point), looks[point.defense])
        if strongest_is_saturated(summary, point):
            _arrow(ax, claim, bound.value, looks[point.defense])
        paths.append(np.array([[claim, bound.value]]))
    lines: dict[str, list[tuple[float, float]]] = {}
    for point, (claim, bound) in points.items():
        lines.setdefault(point.defense, []).append((claim, bound.value))
    labels = [
        Label(style.shortened(name), tuple(sorted(at, key=lambda xy: -xy[1])), looks[name].colour)
        for name, at in lines.items()
    ]
    spots = tuple((share * top, share * top) for share in (0.45, 0.3, 0.6, 0.2, 0.8))
    labels.append(Label("bound = claim", spots, style.GREY, 5.5))
    ax.set_xlabel("claimed ε")
    place(ax, labels, paths)


def _silent(summary: Summary, ax: Axes, points: dict[Point, Value], looks: dict[str, Look]) -> None:
    """Draw a column for each defense without a claim, its strengths side by side."""
    names = list(dict.fromkeys(point.defense for point in points))
    for column, name in enumerate(names):
        mine = [point for point in points if point.defense == name]
        for point, x in zip(mine, column + np.linspace(-0.25, 0.25, len(mine) + 2)[1:-1], strict=True):
            _mark(ax, float(x), points[point].value, _splits(summary, point), looks[name])
            if strongest_is_saturated(summary, point):
                _arrow(ax, float(x), points[point].value, looks[name])
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_xticks(range(len(names)), [style.shortened(name) for name in names], rotation=90, fontsize=5.5)
    for tick, name in zip(ax.get_xticklabels(), names, strict=True):
        tick.set_color(looks[name].colour)
    ax.set_xlabel("no claim")


def _mark(ax: Axes, x: float, y: float, splits: list[float], look: Look) -> None:
    ax.plot([x] * len(splits), splits, linestyle="none", marker="o", markersize=1.6, markeredgewidth=0, alpha=0.6,
            color=look.colour, zorder=2)  # fmt: skip
    ax.plot(x, y, linestyle="none", marker=look.marker, markersize=3.8, color=look.colour, markerfacecolor=look.face,
            markeredgewidth=0.7, zorder=4, clip_on=False)  # fmt: skip


def _arrow(ax: Axes, x: float, y: float, look: Look) -> None:
    """An arrow upwards from a bound at its ceiling: the truth may lie anywhere above."""
    arrow = {"arrowstyle": "<-", "color": look.colour, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 2}
    ax.annotate("", (x, y), xytext=(0, 10), textcoords="offset points", arrowprops=arrow, annotation_clip=False)


def _splits(summary: Summary, point: Point) -> list[float]:
    """The bounds of each split, by the attack whose bound over all splits is drawn."""
    strongest = summary.strongest(point, "epsilon_lower_bound")
    if strongest is None:
        return []
    return [v.value for v in summary.per_split(point, strongest[0], "epsilon_lower_bound").values() if v.known]


def _ceiling(summary: Summary, points: dict[Point, Value]) -> float:
    """The highest bound that any of the audits could have shown; nan if no row states one."""
    found = [summary.strongest(point, "epsilon_lower_bound_ceiling") for point in points]
    return max((value.value for pair in found if pair is not None for value in [pair[1]]), default=float("nan"))
