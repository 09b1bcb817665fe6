"""The privacy-utility front: FID against extracted images, a line for each defense."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakfront.results.figures import figures
from leakfront.results.figures.drawing import facets
from leakfront.results.figures.drawing.front_data import gather
from leakfront.results.run.summary import EXTRACTION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from leakfront.results.run.data import RunData


@figures.register("tradeoff")
class Tradeoff:
    """A point for each defense and strength, with intervals on both axes, its splits, and the front; of more defenses
    than can be told apart a panel for each."""

    title = "Privacy against utility"
    caption = (
        "Image quality (FID: further left is better) against the number of unique training images extracted at a "
        "controlled false-discovery rate (FDR; lower is better, square-root axis)."
    )
    zeros = "At an FDR of q a split can report 1/q images or more, or none."

    def __init__(self) -> None:
        self.reason = ""

    def draw(self, run: RunData) -> Figure | None:
        summary = run.summary
        label = f"images extracted at {summary.fdr} FDR"
        chart = gather(run, EXTRACTION, "extracted_at_fdr", label, level=summary.rate)
        if chart is None:
            self.reason = "no defense has both a FID and an extraction row"
            return None
        self.caption = f"{self.caption} {chart.reading} {self.zeros}"
        return facets.draw(chart)
