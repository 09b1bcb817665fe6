"""The privacy-utility front: FID against extracted images, a line for each defense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakfront.results.figures import Drawn, Figure, NotDrawn, register
from leakfront.results.figures.drawing import facets
from leakfront.results.figures.drawing.front_data import gather
from leakfront.results.run.summary import EXTRACTION

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData


@register("tradeoff")
@dataclass(frozen=True)
class Tradeoff(Figure):
    """A point for each defense and strength, with intervals on both axes, its splits, and the front.

    Each defense gets its own panel where there are too many to tell apart in one.
    """

    title = "Privacy against utility"
    shows_images = False
    caption = (
        "Image quality (FID: further left is better) against the number of unique training images extracted at a "
        "controlled false-discovery rate (FDR; lower is better, square-root axis)."
    )
    zeros = "At an FDR of q, a split reports either no image or at least 1/q images."

    def draw(self, run: RunData) -> Drawn | NotDrawn:
        summary = run.summary
        label = f"images extracted at {summary.fdr} FDR"
        chart = gather(run, EXTRACTION, "extracted_at_fdr", label, level=summary.rate)
        if chart is None:
            return NotDrawn("no defense has both a FID and an extraction row")
        return Drawn(facets.draw(chart), self.title, f"{self.caption} {chart.reading} {self.zeros}")
