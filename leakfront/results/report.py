"""The report of one run, or of several drawn together: figures, tables and one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from leakfront.results.figures import Figure, NotDrawn, drawn_names, figures, save
from leakfront.results.figures.drawing import themes
from leakfront.results.page import copies, images, release
from leakfront.results.page.findings import findings
from leakfront.results.page.page import Contents, Picture, page
from leakfront.results.run.combined import combined
from leakfront.results.run.data import RunData
from leakfront.results.run.per_image import FILE, per_image
from leakfront.results.tables.attacks import attack_table, suite_table
from leakfront.results.tables.captions import captions_table
from leakfront.results.tables.cost import cost_table
from leakfront.results.tables.distances import distances_table
from leakfront.results.tables.main import main_table
from leakfront.results.tables.matched import matched_table
from leakfront.results.tables.quality import quality_table
from leakfront.results.tables.table import Table
from leakfront.results.verdict.gate import gate_of
from leakfront.results.verdict.judge import Verdict, judge
from leakfront.results.verdict.release import releases

ORDER = ("tradeoff", "tradeoff_auc", "matched", "timeline", "extraction_curve", "gallery", "inpainting", "copies",
         "membership", "heatmap", "roc", "audit", "cost")  # fmt: skip
TABLES = {
    "main": main_table,
    "matched": matched_table,
    "quality": quality_table,
    "captions": captions_table,
    "distances": distances_table,
    "cost": cost_table,
    "suite": suite_table,
    "attacks": attack_table,
}
PAPER = themes.PAPER.name


def write_report(
    runs: list[RunData], folder: Path, force: bool = False, theme: str = PAPER, left_out: Sequence[str] | None = None
) -> Path:
    """Write figures, tables and `index.html` into `folder`; return the page's path. The same run gives the same bytes.

    theme: of the figures, "paper" or "talk". force: merge runs that cannot be compared; else they raise `InputError`.
    left_out: what a report that may be shared leaves out, in sentences; it has no figures that show images. None: the
    report is for those who may see the images, and says so if it shows any.
    """
    run = combined(runs, force)
    pictures, not_drawn = [], {}
    with themes.use(theme):
        for name in _names(runs):
            figure: Figure = figures.get(name)()
            if left_out is not None and figure.shows_images:
                not_drawn[figure.title] = "since this report may be shared, and the figure shows images"
                continue
            match _draw(figure, run, folder / "figures"):
                case NotDrawn(reason):
                    not_drawn[figure.title] = reason
                case Picture() as picture:
                    pictures.append(picture)
    tables = {name: make(run) for name, make in TABLES.items()}
    for name, table in tables.items():
        _write(table, folder / "tables", name)
    index = folder / "index.html"
    verdict = judge(run, gate_of(run)) if len(runs) == 1 and run.summary.points else None
    more = _more(run, verdict, folder) if verdict is not None and run.cells else {}
    contents = Contents(findings(run), tables, pictures, not_drawn, left_out, verdict, more)
    index.write_text(page(run, contents), encoding="utf-8")
    return index


def _more(run: RunData, verdict: Verdict, folder: Path) -> dict[str, str]:
    """Write the other pages of a run's report; return each with what it shows."""
    found = releases(run, verdict)
    pages = {
        images.PAGE: images.images_page(run),
        release.PAGE: release.release_page(run, found),
        release.CARD: release.model_card(run, found),
        release.NUMBERS: release.numbers_for_machines(run, found),
    }
    sheet = None if run.may_be_shared else copies.copies_page(run)
    if sheet is not None:
        pages[copies.PAGE] = sheet
    if run.may_be_shared:  # that in the run's folder names files
        pages[FILE] = per_image(run).to_csv(index=False, lineterminator="\n")
    for name, text in pages.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return {
        release.PAGE: "Release: what was tried, what leaks",
        images.PAGE: "Single images",
        release.CARD: "A section for the model card",
        **({} if sheet is None else {copies.PAGE: "Copies by caption, to be marked"}),
    }


def _names(runs: list[RunData]) -> list[str]:
    """The figures to draw, first those of `ORDER`."""
    known = drawn_names(runs)
    return [name for name in ORDER if name in known] + [name for name in known if name not in ORDER]


def _draw(figure: Figure, run: RunData, folder: Path) -> Picture | NotDrawn:
    """Draw and save a figure; where nothing is drawn, remove the files of an earlier one."""
    drawn = figure.draw(run)
    if isinstance(drawn, NotDrawn):
        for suffix in ("pdf", "svg", "png"):
            (folder / f"{figure.name}.{suffix}").unlink(missing_ok=True)
        return drawn
    save(drawn.figure, folder, figure.name)
    wide = drawn.figure.get_figwidth() > themes.current().broad
    svg = (folder / f"{figure.name}.svg").read_bytes()
    return Picture(figure.name, drawn.title, drawn.caption, svg, wide, figure.shows_images)


def _write(table: Table | None, folder: Path, name: str) -> None:
    """Write a table in its three forms; where the run has none, remove the files of an earlier one."""
    folder.mkdir(parents=True, exist_ok=True)
    if table is None:
        for suffix in ("csv", "md", "tex"):
            (folder / f"{name}.{suffix}").unlink(missing_ok=True)
        return
    (folder / f"{name}.csv").write_text(table.to_csv(), encoding="utf-8")
    (folder / f"{name}.md").write_text(table.to_markdown(), encoding="utf-8")
    (folder / f"{name}.tex").write_text(table.to_latex(), encoding="utf-8")
