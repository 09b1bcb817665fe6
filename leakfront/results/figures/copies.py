"""Precision and recall of captions that give copies: by the ground truth, and by the marks of a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leakfront.results.figures import Drawn, Figure, NotDrawn, register
from leakfront.results.figures.drawing import style
from leakfront.results.run.copies import Copy, copies_of
from leakfront.results.run.marks import COPY, UNSURE
from leakfront.results.statistics.precision_recall import precision_recall

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

    from leakfront.results.run.data import RunData

Curve = tuple[np.ndarray, np.ndarray]  # distances [n], and which are true [n]


@register("copies")
@dataclass(frozen=True)
class Copies(Figure):
    """One panel: flagged captions of all models, ranked by their cliques."""

    title = "Captions that give copies: precision and recall"
    shows_images = False
    caption = (
        "The flagged captions of all models as served, ranked by the distance from which on they have a clique of "
        "generated images. Solid: by the ground truth, a caption is right if its pair is a member and the clique shows "
        "the pair's own image. {marks}Recall is the share of the right captions among those flagged."
    )
    by_marks = (
        "Dashed: by a person's marks, right if marked as a copy; {used} captions are marked, {unsure} as unsure, "
    )
    by_marks += "which counts as not. "

    def draw(self, run: RunData) -> Drawn | NotDrawn:
        copies = copies_of(run) if run.cells else []
        distance = np.array([copy.distance for copy in copies])
        curves: dict[str, Curve] = {"ground truth": (distance, np.array([copy.shown for copy in copies], bool))}
        curves |= _by_marks(copies, run.marks)
        curves = {name: curve for name, curve in curves.items() if curve[1].any()}
        if not copies:
            return NotDrawn("no caption was flagged by an attack that asks with captions")
        if not curves:
            return NotDrawn("no flagged caption is right, by the ground truth or by marks")
        verdicts = list(run.marks.values())
        marks = self.by_marks.format(used=len(verdicts), unsure=verdicts.count(UNSURE)) if verdicts else ""
        with style.theme():
            return Drawn(_draw(curves), self.title, self.caption.format(marks=marks))


def _by_marks(copies: list[Copy], marks: dict[str, str]) -> dict[str, Curve]:
    """The ranking of the marked captions alone; nothing without marks."""
    marked = [(copy.distance, marks[copy.key] == COPY) for copy in copies if copy.key in marks]
    if not marked:
        return {}
    return {"marks": (np.array([d for d, _ in marked]), np.array([right for _, right in marked], bool))}


def _draw(curves: dict[str, Curve]) -> MatplotlibFigure:
    figure = style.new_figure(2.2)
    ax = figure.subplots()
    for name, (distance, true) in curves.items():
        _, precision, recall = precision_recall(distance, true)
        marks = name == "marks"
        ax.plot(recall, precision, marker="o", markersize=2.2, linewidth=1, clip_on=False,
                color=style.DECOY if marks else style.MEMBER, linestyle=(0, (3, 1.5)) if marks else "-",
                label=f"{name}: {int(true.sum())} of {len(true)} captions are right")  # fmt: skip
    ax.set_xlim(0, 1.02)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("recall")
    ax.set_ylabel("precision")
    ax.legend(loc="lower left", fontsize=5.5)
    style.despine(ax)
    return figure
