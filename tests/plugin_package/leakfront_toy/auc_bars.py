"""The AUC of every attack, as bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakfront.results.figures import Drawn, Figure, NotDrawn, register

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData


@register("auc_bars")
@dataclass(frozen=True)
class AUCBars(Figure):
    """One bar for each attack: its AUC, the mean over all models of the run."""

    title = "AUC of every attack"
    shows_images = False

    def draw(self, run: RunData) -> Drawn | NotDrawn:
        from leakfront.results.figures.drawing import style

        rows = run.rows[run.rows["metric"] == "auc"]
        if rows.empty:
            return NotDrawn("no model was attacked")
        means = rows.groupby("source")["value"].mean()
        with style.theme():
            figure = style.new_figure(2.0)
            ax = figure.subplots()
            ax.barh(list(means.index), means.to_numpy())
            ax.axvline(0.5, linestyle=":")
            ax.set_xlabel("AUC")
        return Drawn(figure, self.title, "The AUC of each attack, mean over all models. The dotted line is guessing.")
