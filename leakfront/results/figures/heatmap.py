"""Every attack against every defense: the share of members found at a false-positive rate of 1%."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakfront.results.figures import Drawn, Figure, NotDrawn, register
from leakfront.results.figures.drawing import style
from leakfront.results.figures.drawing.matrix import draw_matrix
from leakfront.results.run.families import NOTE
from leakfront.results.run.value import Value

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData

METRIC, RATE = "tpr_at_fpr", 0.01


@register("heatmap")
@dataclass(frozen=True)
class Heatmap(Figure):
    """Attacks by family in rows, defenses at each strength in columns, TPR at 1% FPR in the cells."""

    title = "Every attack against every defense"
    shows_images = False
    caption = (
        "True-positive rate at a false-positive rate of 1%, mean over splits: the share of members found while one "
        "decoy in a hundred is called a member. Guessing gives .01 (pale; darker is higher, on a logarithmic scale). "
        "Bold: the 95% interval lies above .01. Hatched: not measured, or not attainable. Attacks are grouped by what "
        f"they use ({NOTE})."
    )

    def draw(self, run: RunData) -> Drawn | NotDrawn:
        summary = run.summary
        found = {(p, a): summary.value(p, a, METRIC, level=RATE) for p in summary.points for a in summary.suite}
        values = {key: value for key, value in found.items() if value is not None and value.known}
        if not values:
            reasons = [r for p in summary.points for a in summary.attacks if (r := summary.reason(p, a, METRIC, RATE))]
            return NotDrawn(f"no attack has a TPR at 1% FPR{f' ({reasons[0]})' if reasons else ''}")
        points = [point for point in summary.points if any(point == p for p, _ in values)]
        with style.theme():
            colour = style.logarithmic(RATE, 1.0)
            matrix = draw_matrix(values, points, summary.families(), colour, _above_guessing)
        return Drawn(matrix, self.title, self.caption)


def _above_guessing(value: Value) -> bool:
    return value.has_interval and value.above(RATE)
