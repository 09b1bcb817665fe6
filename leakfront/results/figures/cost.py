"""Training time against image quality and extraction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from leakfront.results.figures import Drawn, Figure, NotDrawn, register
from leakfront.results.figures.drawing import style, themes
from leakfront.results.figures.drawing.labels import Label, place
from leakfront.results.figures.drawing.looks import Look, looks_of
from leakfront.results.run.point import Point
from leakfront.results.run.summary import Summary
from leakfront.results.run.value import Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

    from leakfront.results.run.data import RunData


@register("cost")
@dataclass(frozen=True)
class Cost(Figure):
    """Two panels with training seconds on the x axis: FID above; below extracted images, or else an AUC."""

    title = "Training time"
    shows_images = False
    caption = "Training time of one model on this run's machine, mean over splits, against {}. Bars are 95% intervals."

    def draw(self, run: RunData) -> Drawn | NotDrawn:
        summary = run.summary
        seconds = {p: summary.value(p, "train", "training_seconds") for p in summary.points}
        timed = {p: s.value for p, s in seconds.items() if s is not None and s.known}
        if not timed:
            return NotDrawn("no training time was recorded")
        panels = _panels(summary, list(timed))
        if not panels:
            return NotDrawn("neither FID nor leakage was measured")
        sides = ("left", "right") if themes.current().slide else ("above", "below")
        where = [f" ({side}{panel.scale})" for side, panel in zip(sides, panels, strict=False)]
        if len(panels) == 1:
            where = [f" ({panels[0].scale.removeprefix('; ')})" if panels[0].scale else ""]
        shown = " and ".join(panel.name + place for panel, place in zip(panels, where, strict=True))
        with style.theme():
            return Drawn(_draw(summary, timed, panels), self.title, self.caption.format(shown))


@dataclass(frozen=True)
class _Panel:
    """name: in the caption. scale: of its axis, where it must be told. label: of its axis."""

    name: str
    scale: str
    label: str
    kind: Literal["fid", "count", "auc"]
    values: dict[Point, Value]


def _panels(summary: Summary, points: Sequence[Point]) -> list[_Panel]:
    """FID, and the images extracted; where no extraction was measured, the AUC of the attack in front."""

    def known(read: Callable[[Point], Value | None]) -> dict[Point, Value]:
        return {p: value for p in points if (value := read(p)) is not None and value.known}

    counted = "images extracted at the run's false-discovery rate"
    panels = [_Panel("FID", "", "FID", "fid", known(summary.fid))]
    leak = _Panel(counted, "; square-root axis", f"extracted, {summary.fdr} FDR", "count", known(summary.extracted))
    leading = summary.leading(summary.undefended)
    if not leak.values and leading is not None:
        attack = leading[0]
        found = known(lambda point: summary.value(point, attack, "auc"))
        leak = _Panel(f"the AUC of {attack}", "", f"AUC of\n{style.shortened(attack, 16)}", "auc", found)
    return [panel for panel in (*panels, leak) if panel.values]


def _draw(summary: Summary, seconds: dict[Point, float], panels: Sequence[_Panel]) -> MatplotlibFigure:
    crowd, slide = len({point.defense for point in seconds}) > 6, themes.current().slide
    heights = (2.3, 2.7) if slide else (3.0, 4.0) if len(panels) > 1 else (1.8, 2.4)
    figure = style.new_figure(heights[crowd])
    shape = (1, len(panels)) if slide else (len(panels), 1)
    axes = figure.subplots(*shape, sharex=True, squeeze=False).ravel()
    looks = looks_of(summary)
    values = np.array(list(seconds.values()))
    if values.max() > 5 * values.min() > 0:
        axes[-1].set_xscale("log")
        axes[-1].set_xlim(values.min() / 1.5, values.max() * 1.5)
        style.ticks(axes[-1], "x", gap=0.1)
    else:
        room = 0.15 * (np.ptp(values) or values.max() or 1.0)
        axes[-1].set_xlim(max(0.0, values.min() - room), values.max() + room)
    for ax in axes if slide else axes[-1:]:
        ax.set_xlabel(f"training time ({summary.seconds})")
    for ax, panel in zip(axes, panels, strict=True):
        if panel.kind == "fid":
            _fid_scale(ax, [v.value for v in panel.values.values()])
        elif panel.kind == "count":
            style.count_scale(ax, max(float(np.nanmax([v.value, v.high])) for v in panel.values.values()))
        ax.set_ylabel(panel.label)
        style.despine(ax)
    for ax, panel in zip(axes, panels, strict=True):  # labels are placed in the layout of the whole figure
        _points(ax, seconds, panel.values, looks)
    return figure


def _fid_scale(ax: Axes, fids: list[float]) -> None:
    if fids and max(fids) > 5 * min(fids) > 0:
        ax.set_yscale("log")
        ax.set_ylim(min(fids) / 1.4, max(fids) * 1.4)
        style.ticks(ax, "y", gap=0.1)


def _points(ax: Axes, seconds: dict[Point, float], measured: dict[Point, Value], looks: dict[str, Look]) -> None:
    paths = []
    for point, value in measured.items():
        look, x = looks[point.defense], seconds[point]
        if value.has_interval:
            ax.plot([x, x], [value.low, value.high], color=look.colour, linewidth=0.6, zorder=2)
            paths.append(np.array([[x, value.low], [x, value.high]]))
        ax.plot(x, value.value, linestyle="none", marker=look.marker, markersize=3.8, color=look.colour,
                markerfacecolor=look.face, markeredgewidth=0.7, zorder=4)  # fmt: skip
        paths.append(np.array([[x, value.value]]))
    lines: dict[str, list[tuple[float, float]]] = {}
    for point, value in measured.items():
        lines.setdefault(point.defense, []).append((seconds[point], value.value))
    place(ax, [Label(style.shortened(name), tuple(at), looks[name].colour, 5.5) for name, at in lines.items()], paths)
