"""The same front for membership inference: FID against the AUC of one attack, a line for each defense."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakfront.results.figures import figures
from leakfront.results.figures.drawing import facets, style
from leakfront.results.figures.drawing.front_data import gather

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from leakfront.results.run.data import RunData


@figures.register("tradeoff_auc")
class TradeoffAuc:
    """The trade-off with the attack that has the highest AUC on the undefended model, the same against all defenses."""

    title = "Membership inference against utility"
    caption = (
        "Image quality (FID: further left is better) against the area under the ROC curve of one attack (AUC; lower is "
        "better, 0.5 is guessing)."
    )
    guards = (
        "An attack that asks the model itself passes a defense that only guards the sampler: there its AUC is that of "
        "the weights, and the FID that of what is served."
    )

    def __init__(self) -> None:
        self.reason = ""

    def draw(self, run: RunData) -> Figure | None:
        summary = run.summary
        strongest = summary.strongest(summary.undefended, "auc") if summary.points else None
        if strongest is None:
            self.reason = "no attack has an AUC on the undefended model"
            return None
        attack, _ = strongest
        chart = gather(run, attack, "auc", f"AUC of {style.shortened(attack)}", guess=0.5)
        if chart is None:
            self.reason = f"no defense has both a FID and an AUC of {attack}"
            return None
        model = "the undefended model" if summary.baselines else summary.undefended.label
        chosen = f"{attack} has the highest AUC of all attacks on {model}."
        served = any(promise.served for promise in chart.promises.values())
        asks = summary.facts.get(attack, {}).get("access") != "samples"
        self.caption = " ".join([self.caption, chosen, chart.reading, *[self.guards] * (served and asks)])
        return facets.draw(chart)
