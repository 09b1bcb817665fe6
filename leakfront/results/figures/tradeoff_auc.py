"""The privacy-utility front of membership inference: FID against the AUC of one attack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakfront.results.figures import Drawn, Figure, NotDrawn, register
from leakfront.results.figures.drawing import facets, style
from leakfront.results.figures.drawing.front_data import gather

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData


@register("tradeoff_auc")
@dataclass(frozen=True)
class TradeoffAuc(Figure):
    """The front of one attack against all defenses: the one in front, or that with the highest AUC where none is."""

    title = "Membership inference against utility"
    shows_images = False
    caption = (
        "Image quality (FID: further left is better) against the area under the ROC curve of one attack (AUC; lower is "
        "better, 0.5 is guessing)."
    )
    guards = (
        "This attack queries the model itself and so bypasses a defense that only guards the sampler: for such a "
        "defense, the AUC describes the weights and the FID describes the served images."
    )

    def draw(self, run: RunData) -> Drawn | NotDrawn:
        summary = run.summary
        leading = summary.leading(summary.undefended) if summary.points else None
        if leading is None:
            return NotDrawn("no attack has an AUC on the undefended model")
        attack, _ = leading
        chart = gather(run, attack, "auc", f"AUC of {style.shortened(attack)}", guess=0.5)
        if chart is None:
            return NotDrawn(f"no defense has both a FID and an AUC of {attack}")
        chosen = f"{attack} {summary.why_leading}."
        served = any(promise.served for promise in chart.promises.values())
        asks = summary.facts.get(attack, {}).get("access") != "samples"
        caption = " ".join([self.caption, chosen, chart.reading, *[self.guards] * (served and asks)])
        return Drawn(facets.draw(chart), self.title, caption)
