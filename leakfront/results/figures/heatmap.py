"""Every attack against every defense: how many members are found where hardly any decoy is accused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakfront.results.figures import figures
from leakfront.results.figures.drawing import style
from leakfront.results.figures.drawing.matrix import draw_matrix
from leakfront.results.run.families import NOTE
from leakfront.results.run.summary import Value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from leakfront.results.run.data import RunData

METRIC, RATE = "tpr_at_fpr", 0.01


@figures.register("heatmap")
class Heatmap:
    """Attacks by family in rows, defenses at each strength in columns, TPR at 1% FPR in the cells."""

    title = "Every attack against every defense"
    caption = (
        "True-positive rate at a false-positive rate of 1%, mean over splits: the share of members found where one "
        "decoy in a hundred is accused. Guessing gives .01 (pale; darker is higher, on a logarithmic scale). Bold: the "
        f"95% interval lies above .01. Hatched: not measured, or not attainable. Attacks by what they use ({NOTE})."
    )

    def __init__(self) -> None:
        self.reason = ""

    def draw(self, run: RunData) -> Figure | None:
        summary = run.summary
        found = {(p, a): summary.value(p, a, METRIC, level=RATE) for p in summary.points for a in summary.suite}
        values = {key: value for key, value in found.items() if value is not None and value.known}
        if not values:
            reasons = [r for p in summary.points for a in summary.attacks if (r := summary.reason(p, a, METRIC, RATE))]
            self.reason = f"no attack has a TPR at 1% FPR{f' ({reasons[0]})' if reasons else ''}"
            return None
        points = [point for point in summary.points if any(point == p for p, _ in values)]
        with style.theme():
            return draw_matrix(values, points, summary.families(), style.logarithmic(RATE, 1.0), _above_guessing)


def _above_guessing(value: Value) -> bool:
    return value.has_interval and value.above(RATE)
