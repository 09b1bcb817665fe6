"""The report of one run, or of several drawn together: figures, tables and one HTML page."""

from __future__ import annotations

from pathlib import Path

from leakfront.results.figures import NotDrawn, figures, save
from leakfront.results.figures.drawing import themes
from leakfront.results.page.findings import findings
from leakfront.results.page.page import Drawn, page
from leakfront.results.run.combined import combined
from leakfront.results.run.data import RunData
from leakfront.results.tables.attacks import attack_table, suite_table
from leakfront.results.tables.cost import cost_table
from leakfront.results.tables.main import main_table
from leakfront.results.tables.matched import matched_table
from leakfront.results.tables.quality import quality_table

ORDER = ("tradeoff", "tradeoff_auc", "matched", "timeline", "extraction_curve", "gallery", "inpainting", "membership",
         "heatmap", "roc", "audit", "cost")  # fmt: skip
PAPER = themes.PAPER.name
_SUFFIXES = ("pdf", "svg", "png")


def write_report(runs: list[RunData], folder: Path, force: bool = False, theme: str = PAPER) -> Path:
    """Write figures, tables and `index.html` into `folder`; returns the page's path.

    theme: of the figures, "paper" or "talk". The same rows and arrays give the same bytes. Raises `InputError` for runs
    that cannot be compared, unless they are to be merged all the same (`force`).
    """
    run = combined(runs, force)
    with themes.use(theme):
        drawn = [_draw(name, run, folder / "figures") for name in _names()]
    tables = folder / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    made = {"main": main_table, "matched": matched_table, "quality": quality_table, "cost": cost_table,
            "suite": suite_table, "attacks": attack_table}  # fmt: skip
    for name, make in made.items():
        table = make(run)
        if table is None:
            for suffix in ("csv", "md", "tex"):
                (tables / f"{name}.{suffix}").unlink(missing_ok=True)
            continue
        (tables / f"{name}.csv").write_text(table.to_csv(), encoding="utf-8")
        (tables / f"{name}.md").write_text(table.to_markdown(), encoding="utf-8")
        (tables / f"{name}.tex").write_text(table.to_latex(), encoding="utf-8")
    index = folder / "index.html"
    index.write_text(page(run, runs, drawn, findings(run)), encoding="utf-8")
    return index


def _names() -> list[str]:
    """Every figure, those of the paper first in the order of its argument."""
    known = figures.names()
    return [name for name in ORDER if name in known] + [name for name in known if name not in ORDER]


def _draw(name: str, run: RunData, folder: Path) -> Drawn:
    """Draw and save a figure; files of an earlier one are taken away when there is nothing to draw now."""
    plugin = figures.get(name)()
    drawn = plugin.draw(run)
    if isinstance(drawn, NotDrawn):
        for suffix in _SUFFIXES:
            (folder / f"{name}.{suffix}").unlink(missing_ok=True)
        return Drawn(name, plugin.title, "", None, drawn.reason)
    save(drawn.figure, folder, name)
    wide = drawn.figure.get_figwidth() > themes.current().broad
    return Drawn(name, drawn.title, drawn.caption, (folder / f"{name}.svg").read_bytes(), "", wide)
