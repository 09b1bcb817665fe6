"""A run that did not come to its end is labelled where its numbers are shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import leakfront
from leakfront.cli import main
from leakfront.errors import InputError
from leakfront.harness.report import draw_report
from leakfront.harness.store.integrity import is_sealed, seal
from leakfront.harness.store.layout import Layout
from leakfront.results.run.state import UNFINISHED
from tests.in_process import run_here
from tests.small_config import small
from tests.synthetic_run import TWO, synthetic_run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A run with results and without a seal, as it is while another run works in its folder."""
    monkeypatch.setattr("leakfront.results.report._names", lambda _: [])  # figures take long
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return one(tmp_path / "run", "beans")


def one(folder: Path, name: str) -> Layout:
    layout = Layout(synthetic_run(folder, TWO[:1], splits=1, pool=128, samples=150, name=name, title=name).folder)
    layout.config.write_text("")
    return layout


def shown(layout: Layout) -> str:
    result = CliRunner().invoke(main, ["show", str(layout.root)])
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def test_a_run_without_its_seal_is_labelled_by_show_and_in_the_head_of_its_report(run: Layout) -> None:
    assert shown(run).startswith(UNFINISHED)
    assert not leakfront.load(run.root).finished
    page = draw_report([run], run.report).read_text()
    head = page[: page.index("<h2")]
    assert f'<p class="cautions">{UNFINISHED}</p>' in head
    seal(run, [], [])
    assert UNFINISHED not in shown(run)
    assert leakfront.load(run.root).finished
    assert UNFINISHED not in draw_report([run], run.report).read_text()
    (run.report / ".DS_Store").touch()
    (run.report / "marks.csv").write_text("a person's work")
    with pytest.raises(InputError, match=r"report/marks\.csv is no part of the report, which is replaced as a whole"):
        draw_report([run], run.report)
    assert (run.report / "marks.csv").read_text() == "a person's work"


def test_a_run_that_is_stopped_leaves_no_temporaries_of_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"

    def stopped(*_: object) -> None:
        (folder / "cells").mkdir()
        (folder / "cells/.prepare.0123456789abcdef.tmp").mkdir()  # of a worker that was killed
        (folder / "cells/.prepare.0123456789abcdef.lock").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("leakfront.harness.run.execute", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_here(small(), folder)
    assert not list((folder / "cells").iterdir())
    assert not is_sealed(Layout(folder))


def test_the_report_that_a_run_draws_before_its_seal_is_that_of_a_finished_run(run: Layout) -> None:
    page = draw_report([run], run.report, ending=True)
    drawn = page.stat().st_mtime_ns
    assert UNFINISHED not in page.read_text()
    seal(run, [], [])
    assert draw_report([run], run.report).stat().st_mtime_ns == drawn


def test_of_several_runs_the_unfinished_one_is_named(run: Layout, tmp_path: Path) -> None:
    seal(run, [], [])
    other = one(tmp_path / "other", "peas")
    page = draw_report([run, other], tmp_path / "both").read_text()
    assert page.count(UNFINISHED) == 1
    assert f">peas: {UNFINISHED}<" in page
