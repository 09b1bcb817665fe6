"""JSON of another form in a stage's folder is one sentence, whatever its checksum says."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from leakfront.errors import InputError
from leakfront.harness.stages import guarantees
from leakfront.harness.stages.guarantees import facts_of_privacy
from leakfront.harness.stages.reference import reference_rows
from leakfront.harness.stages.stored_json import read_facts, read_stored_rows
from leakfront.harness.store.layout import Layout
from leakfront.results.run.rows import Row

ROW = {"run": "r", "cell": "", "dataset": "d", "model": "m", "defense": "none", "params": "", "split": "all",
       "kind": "utility", "source": "fid", "metric": "fid", "value": 1.5}  # fmt: skip


@pytest.mark.parametrize("content", ["", "3", "[]", "{}", '{"notes": 3}', '{"notes": {}}', "[" * 10**5])
def test_facts_that_are_missing_or_of_another_kind_are_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "prepare.json").write_text(content)
    with pytest.raises(InputError, match=r"prepare\.json cannot be read .*; delete .*, and it is made again"):
        read_facts(tmp_path / "prepare.json", notes=dict, expected_size=(int, float))
    (tmp_path / "prepare.json").write_text('{"notes": {}, "expected_size": 3.5, "more": []}')
    assert read_facts(tmp_path / "prepare.json", notes=dict, expected_size=(int, float))["expected_size"] == 3.5


@pytest.mark.parametrize("content", [3, {}, {"a": 1}, [3], [{}], [{**ROW, "x": 1}], [{**ROW, "value": "1"}],
                                     [{**ROW, "metric": []}], [{k: ROW[k] for k in ROW if k != "run"}]])  # fmt: skip
def test_rows_of_another_form_are_one_sentence(content: Any, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.reference.mkdir()
    (layout.reference / "rows.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"rows\.json cannot be read"):
        reference_rows(layout)
    (layout.reference / "rows.json").write_text(json.dumps([ROW]))
    assert read_stored_rows(layout.reference / "rows.json") == [Row(**ROW)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "guarantee", [3, [], {"epsilon": 1}, {"epsilon": "1", "delta": 0, "unit": "", "group": 1, "history": []},
                  {"epsilon": 1, "delta": 0, "unit": "", "group": 1, "history": [3]}]
)  # fmt: skip
def test_a_guarantee_of_another_form_is_one_sentence(
    guarantee: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan: Any = SimpleNamespace(points=[])
    cell: Any = SimpleNamespace(keys={"train": "k" * 64})
    monkeypatch.setattr(guarantees, "load_facts", lambda *_: {"guarantee": guarantee})
    with pytest.raises(InputError, match=r"train\.json has a guarantee of another form"):
        facts_of_privacy(plan, [cell], Layout(tmp_path), SimpleNamespace(subjects=None))  # type: ignore[arg-type]
