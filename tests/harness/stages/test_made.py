"""Each artifact's manifest says how it was made, and run.json which artifacts were made in which way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leakfront.harness.machine import provenance
from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.plan import Plan
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages import TRAIN
from leakfront.harness.stages.made import ways_of
from leakfront.harness.stages.stage import Work
from leakfront.harness.stages.train import CHECKPOINT, history
from leakfront.harness.store.artifacts import MANIFEST, read_manifest, writing
from leakfront.harness.store.layout import Layout
from tests.in_process import run_here
from tests.small_config import small

HERE: dict[str, Any] = {"versions": {"torch": "1"}, "machine": {"cpu": "one"}, "threads": 1}
THERE: dict[str, Any] = {**HERE, "machine": {"cpu": "another"}}
SETTINGS = small(splits=1, metrics__names=[], attacks={"loss": {"timesteps": [50], "draws": 1}}, training__steps=2)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(parse_config(SETTINGS))


def put(folder: Path, made: dict[str, Any] | None, key: str = "key") -> None:
    with writing(folder, key, made) as place:
        (place / "file").write_text("x")


def test_a_process_says_versions_commit_machine_instruction_set_and_threads() -> None:
    import torch

    made = provenance.made_by(3)
    assert set(made) == {"versions", "commit", "machine", "threads"}
    assert made["versions"]["torch"] == torch.__version__
    assert {"numpy", "scipy", "scikit-learn", "faiss-cpu", "Pillow", "diffusers"} <= set(made["versions"])
    assert made["machine"]["instruction_set"] == torch.backends.cpu.get_cpu_capability()
    assert made["threads"] == 3
    assert json.loads(json.dumps(made)) == made


def test_a_manifest_keeps_how_its_artifact_was_made_and_no_byte_of_it_can_change_unseen(tmp_path: Path) -> None:
    put(tmp_path / "stage", HERE)
    manifest = read_manifest(tmp_path / "stage")
    assert manifest is not None
    assert manifest["made"] == HERE
    path = tmp_path / "stage" / MANIFEST
    path.write_text(path.read_text().replace('"one"', '"two"'))
    assert read_manifest(tmp_path / "stage") is None


def test_a_manifest_of_an_earlier_version_is_still_read(tmp_path: Path) -> None:
    put(tmp_path / "stage", None)
    manifest = read_manifest(tmp_path / "stage")
    assert manifest is not None
    assert "made" not in manifest


def test_the_ways_of_a_run_are_told_apart_and_the_rarer_ones_name_their_artifacts(plan: Plan, tmp_path: Path) -> None:
    layout, (cell,) = Layout(tmp_path), plan.cells
    for stage in ("prepare", "sample", "attack/loss"):
        put(layout.stage(cell.name, stage), HERE)
    put(layout.stage(cell.name, "measure"), THERE)
    put(layout.model(cell.keys["train"]), {**HERE, "earlier": [THERE]})
    put(layout.report, THERE)  # no row follows from it
    put(layout.stage("another-split0", "sample"), THERE)  # no row of these cells follows from it
    model = f"models/{cell.keys['train'][:16]}/train"
    assert ways_of(plan.cells, layout) == [
        {**HERE, "artifacts": 4},
        {**THERE, "artifacts": 2, "which": [model, f"cells/{cell.name}/measure"]},
    ]


def test_a_training_that_was_resumed_elsewhere_says_where_it_began(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, (cell,) = Layout(tmp_path), plan.cells
    work, key = Work(plan=plan, of_cell=cell, layout=layout, pool=None), cell.keys["train"]  # type: ignore[arg-type]
    monkeypatch.setattr("leakfront.harness.stages.train.made_by", lambda threads, device: HERE)
    checkpoint = layout.model(key, CHECKPOINT)
    assert history(work) == HERE
    put(checkpoint, HERE, key)
    assert history(work) == HERE
    put(checkpoint, THERE, key)
    assert history(work) == {**HERE, "earlier": [THERE]}
    third = {**HERE, "threads": 8}
    put(checkpoint, {**third, "earlier": [THERE]}, key)
    assert history(work) == {**HERE, "earlier": [third, THERE]}
    put(checkpoint, THERE, "of another training")
    assert history(work) == HERE


@pytest.fixture
def elsewhere() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_a_run_that_goes_on_elsewhere_keeps_its_models_and_says_which_rows_are_from_where(
    tmp_path: Path, elsewhere: pytest.MonkeyPatch
) -> None:
    run_here(SETTINGS, tmp_path, report=False)
    (one,) = json.loads((tmp_path / "run.json").read_text())["made"]
    cell = make_plan(parse_config(SETTINGS)).cells[0]
    folders = [TRAIN.folder(Layout(tmp_path), cell.keys["train"], cell), Layout(tmp_path).stage(cell.name, "measure")]
    for folder in [*folders, Layout(tmp_path).pool]:
        made = json.loads((folder / MANIFEST).read_text())["made"]
        assert made == {key: one[key] for key in made}
    elsewhere.setattr("leakfront.harness.stages.stage.made_by", lambda threads, device: {**HERE, "threads": 3})
    more = {**SETTINGS, "attacks": {**SETTINGS["attacks"], "blind": {}}}
    _, said = run_here(more, tmp_path, report=False)
    assert "0 models to train" in said
    assert "were not all made in one way: processor" in " ".join(said.split())
    info = json.loads((tmp_path / "run.json").read_text())
    assert not {"versions", "machine", "git"} & set(info)  # those of the last session are not those of all rows
    assert info["last_session"]["versions"] == provenance.versions()
    first, second = info["made"]
    assert "which" not in first
    assert second["threads"] == 3
    assert second["which"] == [f"cells/{cell.name}/attack/blind", f"cells/{cell.name}/measure"]
