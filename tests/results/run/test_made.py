"""How the artifacts behind rows were made, in the words of the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from leakfront.errors import InputError
from leakfront.results.export.numbers import exported
from leakfront.results.page.cautions import cautions
from leakfront.results.run.data import RunData
from leakfront.results.run.made import differing_machines, facts_of_making
from leakfront.results.run.shareable import Shareable
from leakfront.results.run.shown_names import ShownNames
from leakfront.results.run.summary import Summary
from leakfront.results.tables.cost import cost_table
from tests.synthetic_run import synthetic_run

ONE: dict[str, Any] = {
    "versions": {"torch": "2.13", "pandas": "2.2"}, "commit": "abc", "threads": 1, "artifacts": 40,
    "machine": {"cpu": "EPYC", "instruction_set": "AVX2"},
}  # fmt: skip
UPGRADED = {**ONE, "versions": {"torch": "2.13", "pandas": "2.3"}, "commit": "def", "artifacts": 2, "which": ["a", "b"]}
XEON = {**ONE, "machine": {"cpu": "Xeon", "instruction_set": "AVX512"}, "threads": 2, "artifacts": 3, "which": ["a"]}


def test_rows_of_one_machine_need_no_warning() -> None:
    assert differing_machines({}) == ""
    assert differing_machines({"made": [ONE]}) == ""
    assert differing_machines({"made": [ONE, UPGRADED]}) == ""  # what depends on a library is made again


def test_a_pool_that_was_drawn_on_no_gpu_makes_no_second_machine() -> None:
    on_gpu = {**ONE, "machine": {**ONE["machine"], "gpu": "H200"}}
    assert differing_machines({"made": [on_gpu, {**ONE, "artifacts": 1, "which": ["pool"]}]}) == ""
    other = {**ONE, "machine": {**ONE["machine"], "gpu": "A100"}}
    assert "GPU H200 (40) or A100 (40)." in differing_machines({"made": [on_gpu, other]})


def test_rows_of_two_machines_are_called_so() -> None:
    assert differing_machines({"made": [ONE, XEON, UPGRADED]}) == (
        "The artifacts behind these rows were not all made in one way: processor EPYC (42) or Xeon (3); "
        "instruction set AVX2 (42) or AVX512 (3); threads of a process 1 (42) or 2 (3). Sums of floating-point numbers "
        "differ between these in their last digits; run.json lists which artifacts were made in which way."
    )


def test_the_report_states_each_version_and_machine_with_its_share() -> None:
    facts = facts_of_making({"made": [ONE, UPGRADED], "versions": {"torch": "of the last session"}})
    assert facts == {
        "code": "abc (40 artifacts) or def (2 artifacts)",
        "versions": "torch 2.13, pandas 2.2 (40 artifacts) or 2.3 (2 artifacts)",
        "machine": "cpu EPYC, instruction set AVX2",
        "threads of a process": "1",
    }


def test_of_runs_of_earlier_versions_only_the_last_session_is_known() -> None:
    info = {"versions": {"torch": "2.13"}, "git": {"commit": "abc", "dirty": True}, "machine": {"cpu": "EPYC"}}
    assert facts_of_making(info) == {
        "code of the last session": "abc with uncommitted changes",
        "versions of the last session": "torch 2.13",
        "machine of the last session": "cpu EPYC",
    }


@pytest.fixture
def two_machines(tmp_path: Path) -> RunData:
    run = synthetic_run(tmp_path)
    info = {**run.info, "made": [ONE, XEON]}
    (tmp_path / "run.json").write_text(json.dumps(info))
    return RunData(tmp_path)


def test_the_page_and_the_table_of_costs_do_not_claim_one_machine(two_machines: RunData) -> None:
    summary = Summary(two_machines.rows, two_machines.info)
    warned = [finding.text for finding in cautions(two_machines, summary, [])]
    assert any("processor EPYC (40) or Xeon (3)" in text for text in warned)
    notes = " ".join(cost_table(two_machines).notes)  # type: ignore[union-attr]
    assert "on several machines or with several numbers of threads, which run.json lists" in notes
    assert "this run's machine" not in notes


def test_what_is_shared_has_the_ways_without_the_paths_of_artifacts(two_machines: RunData) -> None:
    nothing = ShownNames(frozenset(), frozenset(), frozenset(), frozenset())
    shown = Shareable(two_machines, nothing).info["made"]
    assert shown == [{key: value for key, value in way.items() if key != "which"} for way in (ONE, XEON)]


def test_what_is_exported_states_how_rows_were_made(two_machines: RunData) -> None:
    assert exported(two_machines).settings["made"] == facts_of_making(two_machines.info)


@pytest.mark.parametrize("made", [[3], [{"artifacts": "many"}], [{"artifacts": 1, "versions": 3}]])
def test_a_received_statement_of_another_form_is_refused(made: list[Any], two_machines: RunData) -> None:
    path = two_machines.folder / "run.json"
    path.write_text(json.dumps({**two_machines.info, "made": made}))
    with pytest.raises(InputError, match=r"made\[0\] must have the tables versions and machine"):
        _ = RunData(two_machines.folder).info
