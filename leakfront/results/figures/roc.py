"""Membership inference on the undefended model: ROC curves on logarithmic axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.results.figures import Drawn, Figure, NotDrawn, register
from leakfront.results.figures.drawing import style, themes
from leakfront.results.figures.drawing.looks import look
from leakfront.results.run.families import CONTROL, FAMILIES, MANY
from leakfront.results.run.point import Point
from leakfront.results.run.summary import Summary
from leakfront.results.run.value import Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

    from leakfront.results.run.data import Cell, RunData

_BANDS = 2  # curves of one panel whose bands can be told apart
_DASHES = ("-", (0, (4, 1.2)), (0, (1.2, 0.9)), (0, (5, 1, 1.2, 1)))


@register("roc")
@dataclass(frozen=True)
class Roc(Figure):
    """A panel for each attack with its band, the other attacks in grey; a panel for each family if there are many."""

    title = "ROC of every attack on the undefended model"
    shows_images = False
    rates = (
        "True-positive rate against false-positive rate of each attack on the undefended model of the first split "
        "(the first model, if the run has no undefended one)"
    )
    left = "Left of the dotted line, at one false positive among the decoys, no rate can be measured."
    caption = (
        f"{rates}, with the pointwise 95% band; the other attacks in grey. The dashed diagonal is guessing. {left}"
    )
    many = (
        f"{rates}. Attacks are grouped by what they use, highest area under the curve (AUC) first. The diagonal is "
        f"guessing. {left}"
    )
    banded = f" Shading: the pointwise 95% band, in panels of at most {_BANDS} attacks."
    controlled = " Grey dashes: the control, an attack that never queries the model and should lie on the diagonal."

    def draw(self, run: RunData) -> Drawn | NotDrawn:
        summary = run.summary
        cell = run.undefended_cell
        attacks = [] if cell is None else summary.attacks_on(cell.point, cell.split)
        if cell is None or not attacks:
            return NotDrawn("no model was attacked")
        title = f"ROC of every attack on {summary.subject}"
        rocs = _Rocs(run, cell)
        with style.theme():
            if len(summary.suite) <= MANY:
                return Drawn(_by_attack(summary, rocs, attacks), title, self.caption)
            families = {name: [a for a in group if a in attacks] for name, group in summary.families().items()}
            controls = families.pop(CONTROL, [])
            panels = {name: group for name, group in families.items() if group} or {CONTROL: controls}
            banded = any(len(group) <= _BANDS for group in panels.values())
            caption = self.many + (self.banded if banded else "") + (self.controlled if controls else "")
            figure = _by_family(summary, rocs, panels, [c for c in controls if c not in panels.get(CONTROL, [])])
            return Drawn(figure, title, caption)


class _Rocs:
    """The curves of the attacks on one model, at the false-positive rates that its decoys make possible."""

    def __init__(self, run: RunData, cell: Cell) -> None:
        self.cell = cell
        subjects = run.subjects(cell)
        self._run, self._members = run, run.members(cell) if subjects is None else subjects.of_members
        decoys = int((~self._members).sum())
        counts = np.arange(1, decoys + 1)
        if decoys > 400:
            counts = np.unique(np.geomspace(1, decoys, 400).astype(int))
        self.grid = counts / decoys  # the only rates there are; between them the curve is level
        self.lowest = 1 / decoys
        self.floor = 0.6 / max(int(self._members.sum()), 1)  # a rate of 0 is drawn here

    def curve(self, attack: str) -> np.ndarray:
        """TPR [K] at each rate of the grid."""
        from leakfront.results.statistics.roc import roc_curve

        fpr, tpr, _ = roc_curve(*self._run.judged(self.cell, attack))
        found: np.ndarray = np.maximum(tpr[np.searchsorted(fpr, self.grid, side="right") - 1], self.floor)
        return found

    def band(self, attack: str) -> tuple[np.ndarray, np.ndarray]:
        """The ends of its 95% interval, [K] each."""
        from leakfront.results.statistics.roc import roc_band

        _, low, high = roc_band(*self._run.judged(self.cell, attack), self.grid, seed=0)
        return np.maximum(low, self.floor), np.maximum(high, self.floor)


def _by_attack(summary: Summary, rocs: _Rocs, attacks: list[str]) -> MatplotlibFigure:
    curves = {attack: rocs.curve(attack) for attack in attacks}
    slide = themes.current().slide
    columns = 3 if slide and len(attacks) > 4 else 2
    rows = math.ceil(len(attacks) / columns)
    figure = style.new_figure(0.35 + rows * (1.0 if slide else 1.3))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax, attack in zip(panels, attacks, strict=False):
        for other, curve in curves.items():
            if other != attack:
                ax.step(rocs.grid, curve, where="post", color=style.FAINT, linewidth=0.5, zorder=1)
        _band(ax, rocs, attack, style.MEMBER)
        ax.step(rocs.grid, curves[attack], where="post", color=style.MEMBER, zorder=3)
        _decorate(ax, rocs, {"color": style.GREY, "linestyle": (0, (4, 2))})
        auc = _auc(summary, rocs.cell, attack)
        score = f"AUC {auc.value:.2f}" if auc is not None and auc.known else "AUC n/a"
        ax.set_title(f"{attack}, {score}", loc="left", pad=2, fontsize=6.5)
    for ax in panels[len(attacks) :]:
        ax.set_axis_off()
    for index, ax in enumerate(panels[: len(attacks)]):
        ax.tick_params(labelbottom=index + columns >= len(attacks))
    figure.supxlabel("false-positive rate", fontsize=7)
    figure.supylabel("true-positive rate", fontsize=7)
    return figure


def _by_family(summary: Summary, rocs: _Rocs, families: dict[str, list[str]], controls: list[str]) -> MatplotlibFigure:
    columns = 2 if themes.current().slide and len(families) > 1 else 1
    rows = math.ceil(len(families) / columns)
    figure = style.new_figure(0.3 + 1.22 * rows)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax in panels[len(families) :]:
        ax.set_axis_off()
    panels = panels[: len(families)]
    for ax, (name, group) in zip(panels, families.items(), strict=True):
        known = {attack: _auc(summary, rocs.cell, attack) for attack in (*group, *controls)}
        aucs = {
            attack: value.value if value is not None and value.known else math.nan for attack, value in known.items()
        }
        for control in controls:
            dashes = {"color": style.GREY, "linewidth": 0.8, "linestyle": (0, (2.5, 1.2)), "zorder": 2}
            _curve(ax, rocs, control, dashes)
        for place, attack in reversed(list(enumerate(group))):
            colour, dash = look(place).colour, _DASHES[place % len(_DASHES)]
            if len(group) <= _BANDS:
                _band(ax, rocs, attack, colour)
            _curve(ax, rocs, attack, {"color": colour, "linewidth": 0.9, "linestyle": dash, "zorder": 3})
        _decorate(ax, rocs, {"color": style.FAINT})
        ax.set_title(FAMILIES[name], loc="left", pad=2, fontsize=6.5)
        lines = {line.get_label(): line for line in ax.get_lines()}
        order = [*sorted(group, key=lambda attack: -np.nan_to_num(aucs[attack])), *controls]
        ax.legend(
            [lines[attack] for attack in order],
            [f"{aucs[attack]:.2f}  {style.shortened(attack)}" for attack in order],
            loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=5.5, handlelength=2.2, labelspacing=0.25,
            borderpad=0.2, title="AUC", title_fontsize=5.5, alignment="left",
        )  # fmt: skip
    for ax in panels[-columns:]:
        ax.set_xlabel("false-positive rate")
        ax.tick_params(labelbottom=True)
    figure.supylabel("true-positive rate", fontsize=7)
    return figure


def _decorate(ax: Axes, rocs: _Rocs, diagonal: dict[str, Any]) -> None:
    """Set up the axes; draw the diagonal and the lowest false-positive rate that the decoys can show."""
    from matplotlib.ticker import FuncFormatter

    left = rocs.lowest * 0.6
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(left, 1.05)
    ax.set_ylim(rocs.floor, 1.15)
    ax.plot([left, 1], [left, 1], linewidth=0.6, zorder=1.5, **diagonal)
    ax.axvline(rocs.lowest, color=style.GREY, linewidth=0.6, linestyle=(0, (1, 1.5)), zorder=1.5)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
        axis.set_minor_formatter(FuncFormatter(lambda rate, _: ""))
    style.despine(ax)


def _curve(ax: Axes, rocs: _Rocs, attack: str, look: dict[str, Any]) -> None:
    ax.step(rocs.grid, rocs.curve(attack), where="post", label=attack, **look)


def _band(ax: Axes, rocs: _Rocs, attack: str, colour: str) -> None:
    low, high = rocs.band(attack)
    ax.fill_between(rocs.grid, low, high, color=colour, alpha=0.2, linewidth=0, step="post", zorder=2)


def _auc(summary: Summary, cell: Cell, attack: str) -> Value | None:
    return summary.value(Point(cell.defense, cell.params), attack, "auc", cell.split)
