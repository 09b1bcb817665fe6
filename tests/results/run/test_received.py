"""Rows and facts of a received run: labels are as strict as in a config, and paths follow from checked names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from leakfront.errors import InputError
from leakfront.harness.plan.sweeps import expand
from leakfront.labels import without_controls
from leakfront.results.run.data import RunData
from tests.synthetic_run import synthetic_run

ROOT = Path(__file__).parents[3]
BAD = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "a\nb", "\x1b]0;x\x07", "\x9b31m"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_run(
        tmp_path_factory.mktemp("made"), splits=1, pool=128, samples=150, attacks=("extraction", "loss")
    ).folder


@pytest.fixture
def received(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "received"))


def change_rows(folder: Path, column: str, value: str) -> None:
    table = pd.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
    table.loc[3, column] = value
    table.to_csv(folder / "results.csv", index=False)


def change_info(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    info = json.loads((folder / "run.json").read_text())
    change(info)
    (folder / "run.json").write_text(json.dumps(info))


@pytest.mark.parametrize("column", ["run", "defense", "params", "suite", "metric", "source", "cell", "ci_method"])
@pytest.mark.parametrize("value", BAD)
def test_a_label_in_the_rows_is_refused_as_in_a_config(column: str, value: str, received: Path) -> None:
    if column == "cell" and value in ("+1", "-1"):  # which a config's label gives, too
        return
    change_rows(received, column, value)
    with pytest.raises(InputError, match=rf"results.csv: {column} is ") as error:
        assert RunData(received).rows is None
    assert str(error.value).isprintable()


@pytest.mark.parametrize(("column", "value"), [("cell", ".."), ("cell", "../x"), ("source", ".."), ("split", "../0")])
def test_no_name_in_the_rows_leads_elsewhere(column: str, value: str, received: Path) -> None:
    change_rows(received, column, value)
    with pytest.raises(InputError, match=f"results.csv: {column} is "):
        assert RunData(received).rows is None


@pytest.mark.parametrize("label", ["none", "batch 400, rate 1e-2", "a/b <c>", "ε = 1", "..", "(held-out images)"])
def test_labels_that_a_config_may_give_are_read(label: str, received: Path) -> None:
    expand([{"name": "dedup", "label": label}])
    change_rows(received, "defense", label)
    assert label in set(RunData(received).rows["defense"])


@pytest.mark.parametrize("name", ["..", "../other", "/etc", "a/b", "a\x1b", "", 3, None])
def test_names_of_cells_are_checked(name: Any, received: Path) -> None:
    change_info(received, lambda info: info["cells"][0].update(name=name))
    with pytest.raises(InputError, match=r"name of cells\[0\] is"):
        assert RunData(received).cells


@pytest.mark.parametrize("key", ["name", "features", "attack_notes", "covers", "attack_facts", "attacks"])
def test_no_fact_that_stands_in_a_table_is_a_formula(key: str, received: Path) -> None:
    evil = "=HYPERLINK(1)"
    values = {"attack_notes": [evil], "covers": {"none": evil}, "attack_facts": {"loss": {"note": evil}},
              "attacks": [evil]}  # fmt: skip
    change_info(received, lambda info: info.update({key: values.get(key, evil)}))
    with pytest.raises(InputError, match=r"run\.json: .*=HYPERLINK"):
        assert RunData(received).info


def test_no_path_in_run_json_is_used(received: Path, tmp_path: Path) -> None:
    """Else another run's private images would be drawn into the page."""
    private = {"images": np.full((128, 1, 8, 8), 77, np.uint8), "labels": np.zeros(128, np.int64)}
    (tmp_path / "private" / "sample").mkdir(parents=True)
    for name in ("pool.safetensors", "sample/samples.safetensors"):
        save_file(private, tmp_path / "private" / name)

    def lead_out(info: dict[str, Any]) -> None:
        info["pool"] = "../private/pool.safetensors"
        for cell in info["cells"]:
            cell["folder"] = str(tmp_path / "private")

    change_info(received, lead_out)
    run = RunData(received)
    assert run.cells[0].folder == received / "cells" / run.cells[0].name
    assert not (run.pool["images"] == 77).all()
    assert not (run.samples(run.cells[0]) == 77).all()


def test_scores_are_found_by_checked_labels_only(received: Path) -> None:
    run = RunData(received)
    assert "score" in run.scores(run.cells[0], "loss")
    for label in ("..", "../../../x", "/etc/passwd", ""):
        with pytest.raises(InputError, match="an attack is called"):
            run.scores(run.cells[0], label)


def test_control_codes_in_facts_and_paths_are_escaped(received: Path) -> None:
    change_rows(received, "dataset", "folder:\x1b[2Jimages")
    change_info(
        received, lambda info: info.update(title="\x1b[31mred\x9b", machine={"cpu\x07": ["\x00", "two\nlines"]})
    )
    run = RunData(received)
    assert run.info["title"] == r"\x1b[31mred\x9b"
    assert run.info["machine"] == {r"cpu\x07": [r"\x00", "two\nlines"]}
    assert r"folder:\x1b[2Jimages" in set(run.rows["dataset"])
    assert without_controls("µ – \u00a0ok") == "µ – \u00a0ok"


@pytest.mark.parametrize(
    "text", ["[" * 10**5, "[]", '{"cells": 3}', '{"cells": [3]}', '{"cells": [{}]}', '{"attacks": 3}']
)
def test_a_run_json_of_another_form_is_named(text: str, received: Path) -> None:
    (received / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json"):
        assert RunData(received).info


def test_published_rows_are_read_as_before() -> None:
    published = sorted(path.parent for path in (ROOT / "published").glob("*/results.csv"))
    assert len(published) > 4
    for folder in published:
        assert len(RunData(folder).rows) > 50
