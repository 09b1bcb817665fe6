"""Every notebook runs from top to bottom, is short, and is stored without outputs.

Its code cells are executed here one after the other, without Jupyter: the last expression of a cell is shown as a
notebook would show it. Whether Jupyter draws it well is not tested.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from tests.docs.markdown import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
LINES = 10  # of a cell


def cells(notebook: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(notebook.read_text())["cells"]
    return found


def run(source: str, names: dict[str, Any]) -> str:
    """Execute a cell; returns the HTML of its last expression, or its text."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    if last is None:
        return ""
    shown = eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # type: ignore[attr-defined]
    return str(shown._repr_html_()) if hasattr(shown, "_repr_html_") else repr(shown)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = [run("".join(cell["source"]), names) for cell in cells(notebook) if cell["cell_type"] == "code"]
    assert any("<table" in html for html in shown)
    assert "Traceback" not in capsys.readouterr().err
    assert not list(tmp_path.iterdir())  # nothing is written where the reader is


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_short_and_has_no_outputs(notebook: Path) -> None:
    whole = json.loads(notebook.read_text())
    assert (whole["nbformat"], whole["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in whole["cells"]}) == len(whole["cells"])
    for cell in whole["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
            lines = [line for line in cell["source"] if line.strip() and not line.startswith(("import ", "from "))]
            assert len(lines) <= LINES, cell["id"]


def test_a_cell_that_fails_is_seen() -> None:
    with pytest.raises(ZeroDivisionError):
        run("x = 1\nx / 0", {})
    assert run("2 + 2", {}) == "4"
