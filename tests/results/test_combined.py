"""Runs that cannot be compared are merged only by force, and then everything that is shown says in what they differ."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from leakfront.errors import InputError
from leakfront.results.figures import Drawn, figures
from leakfront.results.page.findings import findings
from leakfront.results.report import combined, write_report
from leakfront.results.run.data import RunData
from leakfront.results.run.point import Point
from leakfront.results.tables.attacks import attack_table, suite_table
from leakfront.results.tables.cost import cost_table
from leakfront.results.tables.main import main_table
from leakfront.results.tables.matched import matched_table
from tests.few_figures import as_svg, only
from tests.results.test_report import SMALL, Page
from tests.synthetic_run import Strength, synthetic_run
from tests.test_cli import invoke

CURVE = (Strength("none", fid=10, copied=29, leak=1), Strength("capacity", "width=8", fid=12, copied=25, leak=0.8),
         Strength("capacity", "width=4", fid=45, leak=0.1))  # fmt: skip
OTHER = {"name": "other", "suite": "v1", "attacks": ("blind", "loss", "inpainting"), "samples": 120, "pool": 96}
SENTENCE = (
    "The runs differ in suite (quick, v1), attacks (extraction+loss, blind+loss+inpainting), samples per model "
    "(150, 120) and dataset pool (128, 96); numbers that depend on these settings do not compare."
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunData]:
    folder = tmp_path_factory.mktemp("runs")
    return [synthetic_run(folder / "one", CURVE, **SMALL), synthetic_run(folder / "two", CURVE[:2], **OTHER)]


def test_a_forced_report_says_everywhere_what_differs(runs: list[RunData], tmp_path: Path) -> None:
    run = combined(runs, force=True)
    assert run.differences == (SENTENCE,)
    assert findings(run).cautions[0].text == SENTENCE
    for make in (main_table, matched_table, cost_table, suite_table, attack_table):
        table = make(run)
        assert table is not None
        assert sum(SENTENCE in note for note in table.notes) == 1, make.__name__
    with as_svg():
        text = Page(write_report(runs, tmp_path, force=True).read_text()).text
    drawn = len(list((tmp_path / "figures").glob("*.svg")))
    assert drawn > 6
    assert text.count(SENTENCE) == 2 + 5 + drawn  # the summary, the cautions, the tables, the captions
    assert "Pool of 128 or 96 digits images" in text
    assert "attack suite quick or v1" in text
    assert "Sampling is of 150 or 120 images" in text


def test_every_figure_is_drawn_of_runs_that_differ(runs: list[RunData], tmp_path: Path) -> None:
    merged = [combined(order, force=True) for order in (runs, runs[::-1])]
    for name in figures.names():
        alone = [isinstance(figures.get(name)().draw(run), Drawn) for run in runs]
        for run in merged:
            assert any(alone) <= isinstance(figures.get(name)().draw(run), Drawn) or name == "inpainting"


def test_attacks_that_a_run_lacks_are_dashes(runs: list[RunData]) -> None:
    run = combined(runs, force=True)
    shown = {c.key: [str(cell) for cell in c.cells] for c in main_table(run).columns}
    assert [cell == "–" for cell in shown["auc_blind"]] == [True] * 3 + [False] * 2
    assert [cell == "–" for cell in shown["auc_extraction"]] == [False] * 3 + [True] * 2
    assert "–" not in shown["auc_loss"]
    assert run.summary.controls == ["blind"]
    lines = {line["attack"]: line for line in csv.DictReader(suite_table(run).to_csv().splitlines())}
    assert (lines["blind"]["auc"], lines["blind"]["note"]) == ("", "not in the suite of this model's run")
    assert lines["loss"]["note"] == ""


def test_a_cell_is_shown_with_the_pool_of_its_own_run(runs: list[RunData]) -> None:
    run = combined(runs, force=True)
    for cell in run.cells:
        own = runs[1 if cell.defense.startswith("other: ") else 0]
        np.testing.assert_array_equal(run.pool_of(cell)["images"], own.pool["images"])
        assert len(run.members(cell)) == len(run.pool_of(cell)["images"])


def test_fids_on_other_features_are_shown_under_both_names(tmp_path: Path) -> None:
    one = synthetic_run(tmp_path / "one", CURVE[:1], **SMALL)
    two = synthetic_run(tmp_path / "two", CURVE[:1], name="two", features="inception", **SMALL)
    run = combined([one, two], force=True)
    assert run.differences[0].startswith("The runs differ in features (embedded, inception); ")
    assert run.summary.features == "embedded or inception"
    fid = run.summary.fid(Point("two: none", ""))
    assert fid is not None
    assert fid.value == two.summary.fid(Point("none", "")).value  # type: ignore[union-attr]


def test_equal_runs_have_nothing_to_say(runs: list[RunData]) -> None:
    assert combined([runs[0], runs[0]], force=True).differences == ()
    assert combined(runs[:1], force=True) is runs[0]


def test_long_lists_and_checksums_are_cut_short(runs: list[RunData], tmp_path: Path) -> None:
    for name, run, size, checksum in (("a", runs[0], 22, "sha256:" + "0" * 64), ("b", runs[1], 4, None)):
        info = {**run.info, "attacks": [f"attack_{i}" for i in range(size)], "suite": "v1", "samples_per_model": 1}
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps({**info, "dataset": {"checksum": checksum}}))
    both = combined([RunData(tmp_path / "a"), RunData(tmp_path / "b")], force=True)
    assert both.differences == (
        "The runs differ in attacks (22, 4) and dataset checksum (sha256:0…, none); numbers that depend on these "
        "settings do not compare.",)  # fmt: skip


def test_without_force_the_command_refuses_and_names_the_way(runs: list[RunData], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"suite is 'quick' in the first and 'v1' in the second; .* with --force$"):
        combined(runs)
    for run in runs:
        (run.folder / "config.toml").touch()
    command = ("report", *(run.folder for run in runs), "--out", tmp_path / "both")
    with only("tradeoff"):
        refused, made = invoke(*command), invoke(*command, "--force")
    assert refused.exit_code == 2
    assert "with --force" in refused.stderr
    assert made.exit_code == 0, made.stderr
    assert SENTENCE in (tmp_path / "both" / "index.html").read_text()


def test_runs_with_other_statistics_are_told_apart(runs: list[RunData], tmp_path: Path) -> None:
    other = synthetic_run(tmp_path, CURVE, **SMALL)
    assert combined([runs[0], other]).differences == ()
    facts = json.loads((tmp_path / "run.json").read_text())
    facts["config"]["statistics"]["audit_delta"] = 1e-6
    (tmp_path / "run.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match=r"statistics audit_delta is 1e-05 in the first and 1e-06 in the second"):
        combined([runs[0], RunData(tmp_path)])
