"""One report over several studies: a table of all, and a figure and a sentence for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leakfront.results.figures import save
from leakfront.results.figures.drawing import themes
from leakfront.results.page import assets
from leakfront.results.page.layout import cell_class, of_numbers
from leakfront.results.page.page import Picture
from leakfront.results.studies.judging.answer import StudyResult, corrected
from leakfront.results.studies.judging.figure import draw
from leakfront.results.studies.judging.sentences import sentence
from leakfront.results.studies.judging.table import studies_table

READING = (
    "Agrees: the whole 95% interval lies on the expected side of the margin, which was written down before the run. "
    "Disagrees: it lies wholly on the other side of 0. Everything else is not resolved at this size.",
    "A test without an interval (Page's trend, permutation) agrees at p < 0.01 in the expected direction, and "
    "disagrees at p < 0.01 in the opposite one. “Equal” is two one-sided tests at 0.05. A count of bounds that are "
    "exceeded agrees at 0, and disagrees where chance, 1 in 20, makes so many unlikely (p < 0.01).",
    "Each split is another draw of members and another trained model. An interval over splits is about such models, "
    "not about other data sets or larger networks.",
    "A study that disagrees says as much as one that agrees. One that is not resolved says that so few models of this "
    "size cannot tell.",
)


def write_report(studies: Sequence[StudyResult], folder: Path, theme: str = themes.PAPER.name) -> Path:
    """Write `index.html`, the figures and the table into `folder`; return the page's path."""
    results = corrected(studies)
    table = studies_table(results)
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    for suffix, text in (("csv", table.to_csv()), ("md", table.to_markdown()), ("tex", table.to_latex())):
        (folder / "tables" / f"studies.{suffix}").write_text(text, encoding="utf-8")
    judged = sum(math.isfinite(study.first.p) for study in results)
    with themes.use(theme):
        shown = [_shown(study, judged, folder / "figures") for study in results]
    page = folder / "index.html"
    page.write_text(
        assets.render(
            "studies.html",
            title=results[0].title if len(results) == 1 else "Studies",
            about=_about(results),
            all=table,
            studies=shown,
            reading=READING,
            cell_class=cell_class,
            of_numbers=of_numbers,
        ),
        encoding="utf-8",
    )
    return page


def _about(studies: Sequence[StudyResult]) -> str:
    """How many studies agree, disagree, are not resolved and are not judged."""
    answers = [study.first.answer for study in studies]
    counts = [f"{answer}: {answers.count(answer)}" for answer in dict.fromkeys(answers)]
    return f"{len(studies)} stud{'y' if len(studies) == 1 else 'ies'}. {', '.join(counts).capitalize()}."


def _shown(study: StudyResult, judged: int, folder: Path) -> dict[str, Any]:
    """A study as the page shows it; its figure is drawn."""
    drawn, picture = draw(study.first, study.title), None
    if drawn is not None:
        save(drawn.figure, folder, study.name)
        svg = (folder / f"{study.name}.svg").read_bytes()
        picture = Picture(
            study.name, drawn.title, drawn.caption, svg, wide=study.first.estimate is not None, shows_images=False
        )
    return {
        "name": study.name, "title": study.title, "statement": study.statement, "source": study.source,
        "kind": study.first.answer.split()[0], "sentence": sentence(study.first, judged), "picture": picture,
        "others": [sentence(answer) for answer in study.answers[1:]], "cannot": study.cannot, "scale": study.scale,
        "note": study.note,
    }  # fmt: skip
