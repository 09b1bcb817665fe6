"""An audit in which every guess was right is marked wherever its bound is shown."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
from rich.console import Console

from leakfront.results.figures.audit import Audit
from leakfront.results.page.findings import findings
from leakfront.results.run.data import RunData
from leakfront.results.run.point import Point
from leakfront.results.run.rows import read_rows
from leakfront.results.run.saturation import WHY, saturated
from leakfront.results.tables.attacks import attack_table
from leakfront.results.tables.main import main_table, terminal
from tests.results.test_report import SMALL, drawn
from tests.synthetic_run import TWO, Strength, synthetic_run

PRIVATE = Strength("dp_sgd", "epsilon=10", leak=0.3, epsilon=10.0)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    """Undefended, every guess of `loss` was right; the private model is also audited as a Gaussian mechanism."""
    folder = tmp_path_factory.mktemp("full")
    synthetic_run(folder, [*TWO, PRIVATE], **SMALL)
    rows = read_rows(folder / "results.csv")
    of_loss, bare = rows["source"] == "loss", rows["defense"] == "none"
    bound, most = rows["metric"] == "epsilon_lower_bound", rows["metric"] == "epsilon_lower_bound_ceiling"
    rows.loc[of_loss & bare & bound, ["value", "ci_low"]] = 2.9
    assert (rows[of_loss & bare & most]["value"] == 2.9).all()  # as in runs of earlier versions
    private = rows[of_loss & bound & (rows["defense"] == "dp_sgd")]
    f_dp = private.assign(metric="epsilon_lower_bound_f_dp", value=0.42)
    many = rows[of_loss & bare & bound & (rows["split"] == "all")].assign(
        metric="many_run_epsilon_lower_bound", value=0.7
    )
    top = many.assign(metric="many_run_epsilon_lower_bound_ceiling", ci_low=math.nan)
    import pandas as pd

    pd.concat([rows, f_dp, many, top]).to_csv(folder / "results.csv", index=False)
    return RunData(folder)


def test_old_rows_tell_it_by_the_ceiling_and_new_rows_by_a_flag(full: RunData, tmp_path: Path) -> None:
    summary, bare = full.summary, Point("none", "")
    assert saturated(summary, bare, "loss")
    assert saturated(summary, bare, "loss", split="0")
    assert saturated(summary, bare, "loss", "many_run_epsilon_lower_bound")
    assert not saturated(summary, bare, "secmi")
    assert not saturated(summary, Point("dp_sgd", "epsilon=10"), "loss")
    import pandas as pd

    rows = full.rows[(full.rows["source"] == "loss") & (full.rows["metric"] == "epsilon_lower_bound")]
    for flag in (0.0, 1.0):
        marked = pd.concat([full.rows, rows.assign(metric="epsilon_lower_bound_saturated", value=flag)])
        (tmp_path / "run.json").write_text((full.folder / "run.json").read_text())
        marked.to_csv(tmp_path / "results.csv", index=False)
        assert saturated(RunData(tmp_path).summary, bare, "loss") is bool(flag)


def test_the_main_table_marks_it_and_says_what_it_means(full: RunData) -> None:
    table = main_table(full)
    column = next(c for c in table.columns if c.key == "epsilon_lower_bound")
    words = {str(full.summary.points[i]): cell.word for i, cell in enumerate(column.cells)}
    assert list(words.values()).count("saturated") == 1
    assert "2.90 saturated" in table.to_markdown()
    assert f"Saturated: {WHY}." in table.notes
    assert "saturated" not in table.to_csv()
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal(full))
    assert "saturated" in console.export_text()


def test_the_table_of_attacks_marks_both_audits_and_names_the_assumption(full: RunData) -> None:
    table = attack_table(full)
    titles = [column.title for column in table.printed]
    assert "Audited ε ≥ if μ-GDP" in titles
    [line] = [row for row in table.rows() if row[0].text == "none" and row[2].text == "loss"]
    by_title = dict(zip(titles, line, strict=True))
    assert by_title["Audited ε ≥"].word == by_title["Many-run audited ε ≥"].word == "saturated"
    assert any(note.startswith("If μ-GDP: a lower bound on ε of training that is μ-GDP") for note in table.notes)
    assert r"$\mu$-GDP" in table.to_latex()


def test_the_paragraphs_say_it_in_words(full: RunData) -> None:
    texts = {one.subject: one.text for one in findings(full).strengths}
    assert f"audited epsilon at least 2.90 (saturated: {WHY})" in texts["none"]
    private = texts["dp_sgd (epsilon=10)"]
    assert "; if the training were μ-GDP (a Gaussian trade-off curve), at least 0.42" in private
    assert "saturated" not in private


def test_the_figure_has_an_arrow_that_its_caption_explains(full: RunData, tmp_path: Path) -> None:
    figure = drawn("audit", full)
    assert figure.caption == f"{Audit.caption} Arrow: the audit is saturated; {WHY}."
    arrows = [note for ax in figure.figure.axes for note in ax.texts if getattr(note, "arrow_patch", None) is not None]
    assert len(arrows) == 1
    plain = synthetic_run(tmp_path, TWO, **SMALL)
    assert drawn("audit", plain).caption == Audit.caption
