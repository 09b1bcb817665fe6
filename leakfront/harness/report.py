"""Draw the report of one run or several: tables, figures and a page; anew unless it was drawn here and is current."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from leakfront.errors import InputError
from leakfront.harness.store.artifacts import MANIFEST, checksum, writing
from leakfront.harness.store.code_keys import content_key, with_imports
from leakfront.harness.store.integrity import check_results
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.own_pages import is_own, sign

PAGE = "index.html"


def draw_report(runs: Sequence[Layout], folder: Path, force: bool = False, theme: str = "paper") -> Path:
    """Write the report of finished runs to `folder` and return its page.

    theme: that of the figures, see `drawing.themes`. force: merge runs even if their numbers are not comparable (they
    differ in suite or protocol); the report then says so. An existing folder is replaced only if it holds a report.
    Raises `InputError` for unfinished or damaged runs, for runs that cannot be merged, and for a folder that holds
    anything else.
    """
    for layout in runs:
        if not (layout.root / "results.csv").is_file() or not (layout.root / "run.json").is_file():
            raise InputError(f"{layout.root} holds no results yet; finish it with: leakfront run")
        check_results(layout)
    if folder.exists() and any(folder.iterdir()) and not ((folder / MANIFEST).exists() and (folder / PAGE).exists()):
        raise InputError(f"{folder} is not empty and holds no report; give another folder with --out")
    inputs = [checksum(layout.root / name) for layout in runs for name in ("results.csv", "run.json")]
    from leakfront.results.figures import drawn_names, figures
    from leakfront.results.page import assets
    from leakfront.results.run.data import RunData

    data = [RunData(layout.root) for layout in runs]
    drawn_by = [type_name for name in drawn_names(data) for type_name in with_imports(figures.get(name).__module__)]
    code = sorted({*with_imports("leakfront.results.report"), *drawn_by})
    key = content_key("report", [force, theme, assets.version()], inputs, code)
    if not is_own(folder, key):
        from leakfront.results.report import write_report

        folder.parent.mkdir(parents=True, exist_ok=True)
        with writing(folder, key) as place:
            write_report(data, place, force, theme)
        sign(folder)
    return folder / PAGE
