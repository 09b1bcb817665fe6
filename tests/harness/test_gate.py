"""`leakfront gate`: the verdict in the terminal, in verdict.json, at the head of the report, and as an exit code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from leakfront.harness.report import draw_report
from leakfront.harness.store.layout import Layout
from tests.synthetic_run import Strength, synthetic_run
from tests.test_cli import invoke, refused

LENIENT = "[[rules]]\nmetric = 'members_before_decoys'\nat_most = 1000\n"


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leaky")
    synthetic_run(folder, (Strength("none", copied=40, leak=1),), splits=1)
    (folder / "config.toml").write_text("")
    return folder


@pytest.fixture
def run(leaky: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(leaky, tmp_path / "run"))


def test_a_run_that_fails_its_gate_ends_with_3(run: Path) -> None:
    result = invoke("gate", run)
    assert result.exit_code == 3, result.output
    assert result.stdout.startswith("Verdict: fail\n")
    assert "  fails: Members extracted at a false-discovery rate of 5%: " in result.stdout
    assert "Not tried:\n  * Any attack on gradients" in result.stdout
    held = json.loads((run / "verdict.json").read_text())
    assert (held["verdict"], held["fails"]) == ("fail", True)
    assert held["not_tried"]


def test_another_gate_is_kept_and_the_report_follows_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leakfront.results.report._names", lambda _: ["audit"])
    draw_report([Layout(run)], run / "report")
    page = (run / "report" / "index.html").read_text()
    assert '<div class="verdict fail">\n<h2>Verdict: fail</h2>' in page
    assert page.index("Verdict: fail") < page.index("Not tried:") < page.index("models were trained")
    (run / "gate.toml").write_text(LENIENT)
    result = invoke("gate", run, run / "gate.toml")
    assert result.exit_code == 0, result.output
    assert "passes: Members that a generated image matches more closely than any decoy" in result.stdout
    draw_report([Layout(run)], run / "report")
    assert "<h2>Verdict: pass</h2>" in (run / "report" / "index.html").read_text()
    assert invoke("gate", run).stdout.startswith("Verdict: pass")  # by the gate that was kept


def test_the_verdict_can_be_written_elsewhere(run: Path, tmp_path: Path) -> None:
    assert invoke("gate", run, "--out", tmp_path / "v.json").exit_code == 3
    assert json.loads((tmp_path / "v.json").read_text())["verdict"] == "fail"
    assert not (run / "verdict.json").exists()


def test_a_gate_or_a_run_that_is_not_there_is_one_sentence(run: Path, tmp_path: Path) -> None:
    assert "no.toml cannot be read as a gate" in refused(invoke("gate", run, tmp_path / "no.toml"))
    assert "holds no run" in refused(invoke("gate", tmp_path))
    (run / "verdict.json").write_text("{}")
    assert "leakfront gate" in refused(invoke("gate", run))
