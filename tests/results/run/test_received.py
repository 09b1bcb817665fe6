"""Rows and facts of a received run: labels are as strict as in a config, and paths follow from checked names."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from leakfront.errors import InputError
from leakfront.harness.plan.sweeps import expand
from leakfront.labels import without_controls
from leakfront.results.run import rows
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
    private: dict[str, np.ndarray] = {
        "images": np.full((128, 1, 8, 8), 77, np.uint8),
        "labels": np.zeros(128, np.int64),
    }
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


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("title", 3), ("attack_facts", []), ("attack_facts", {"loss": 3}), ("metric_facts", {"fid_x": {"params": {}}}),
        ("guarantees", []), ("guarantees", {"none": {"epsilon": "small", "delta": 0}}), ("guarantees", {"none": 3}),
        ("composed_guarantees", {"models": 2}), ("composed_guarantees", [{"models": 2}]), ("covers", [1]),
        ("acts_on", {"none": 3}), ("stops_short_of", []), ("in_front", 3), ("lines", [3]), ("dataset", []),
        ("config", {"statistics": 3}), ("config", {"execution": []}), ("config", []), ("versions", 3), ("failed", []),
        ("diverged", 3), ("wall_seconds", "long"), ("samples_per_model", []), ("private_draws", []), ("cells", None),
        ("external_model", "x"), ("attack_notes", 3), ("git", []),
    ],
)  # fmt: skip
def test_a_fact_of_another_form_is_named(key: str, value: Any, received: Path) -> None:
    change_info(received, lambda info: info.update({key: value}))
    with pytest.raises(InputError, match=rf"run\.json .*\b{key}\b"):
        assert RunData(received).info


def test_facts_without_a_name_and_cells_are_those_of_a_run_without_any(received: Path) -> None:
    (received / "run.json").write_text("{}")
    run = RunData(received)
    assert (run.info["name"], run.cells) == ("", [])


def change_arrays(path: Path, **changes: Any) -> None:
    arrays = {name: changes.pop(name, array) for name, array in load_file(path).items()} | changes
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None}, path)


ARRAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "no members": ("prepare/coins", {"members": None}),
    "members of another number": ("prepare/coins", {"members": np.ones(5, bool)}),
    "members as text": ("prepare/coins", {"members": np.ones(128)}),
    "all members": ("prepare/coins", {"members": np.ones(128, bool)}),
    "samples of three axes": ("sample/samples", {"images": np.zeros((9, 8, 8), np.uint8)}),
    "samples of five channels": ("sample/samples", {"images": np.zeros((9, 5, 8, 8), np.uint8)}),
    "samples as numbers": ("sample/samples", {"images": np.zeros((150, 1, 8, 8))}),
    "no score": ("attack/loss/scores", {"score": None}),
    "few scores": ("attack/loss/scores", {"score": np.zeros(3)}),
    "scores that are no numbers": ("attack/loss/scores", {"score": np.full(128, np.nan)}),
    "no evidence": ("attack/extraction/scores", {"nearest_sample": None}),
    "evidence beyond the samples": ("attack/extraction/scores", {"nearest_sample": np.full(128, 150)}),
    "neighbours beyond the pool": ("attack/extraction/scores", {"neighbours": np.full((150, 10), 128, np.int32)}),
    "neighbours without scores": ("attack/extraction/scores", {"neighbour_scores": np.zeros((150, 0), np.float32)}),
}


@pytest.mark.parametrize("what", ARRAYS)
def test_arrays_of_another_form_are_one_sentence(what: str, received: Path) -> None:
    place, changes = ARRAYS[what]
    run = RunData(received)
    (cell, *_) = run.cells
    change_arrays(cell.folder / f"{place}.safetensors", **changes)
    with pytest.raises(InputError, match=re.escape(f"{place}.safetensors")):
        _ = (run.members(cell), run.samples(cell), run.scores(cell, "loss"), run.scores(cell, "extraction"))


def test_a_pool_of_another_form_is_one_sentence(received: Path) -> None:
    for changes in ({"copies": np.ones(5, np.int64)}, {"images": np.zeros((128, 8, 8), np.uint8)}, {"copies": None}):
        change_arrays(received / "pool/pool.safetensors", **changes)
        with pytest.raises(InputError, match=r"pool\.safetensors cannot be read"):
            assert RunData(received).pool


def test_rows_without_a_model_are_one_sentence(received: Path) -> None:
    (received / "results.csv").write_text((received / "results.csv").read_text().partition("\n")[0] + "\n")
    with pytest.raises(InputError, match=r"results\.csv has no row of a model"):
        assert RunData(received).rows is None


def test_a_file_of_rows_is_read_within_the_memory_of_this_machine(
    received: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = received / "results.csv"
    with path.open("ab") as file:
        file.truncate(rows.MAX_BYTES + 1)  # zeros that take no room on the disk
    with pytest.raises(InputError, match=r"results\.csv has 1,024 MiB; on this machine a file of rows may have"):
        assert RunData(received).rows is None
    path.write_text("," * (rows.MAX_HEADER + 1))
    with pytest.raises(InputError, match=r"results\.csv has a first line of more than 64 KiB"):
        assert RunData(received).rows is None
    assert rows.MAX_BYTES * 32 > 2**34  # on a machine of 16 GiB the memory decides
    monkeypatch.setattr(rows, "memory", lambda: 32 * 1000)
    path.write_text("run\n" * 1000)
    with pytest.raises(InputError, match="MiB, so use one with more memory"):
        assert RunData(received).rows is None


def test_published_rows_are_read_as_before() -> None:
    published = sorted(path.parent for path in (ROOT / "published").glob("*/results.csv"))
    assert len(published) > 4
    for folder in published:
        assert len(RunData(folder).rows) > 50
