"""A stage is declared once and all else follows; models are shared; unused artifacts can be removed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from rich.console import Console
from safetensors.numpy import load_file

from leakfront.cli import main
from leakfront.errors import InputError
from leakfront.harness.clean import clean
from leakfront.harness.dry_run import print_plan
from leakfront.harness.plan.make import make_plan
from leakfront.harness.run import run
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages import BY_NAME, STAGES
from leakfront.harness.stages.sample import load_samples
from leakfront.harness.stages.stage import Files, Stage, Work
from leakfront.harness.stages.train import load_facts
from leakfront.harness.store.layout import Layout
from leakfront.results.run.rows import read_rows
from tests.in_process import in_process, without_report
from tests.small_config import small

DEFENSES = [{"name": "none"}, {"name": "early_stop", "steps": [4, 8]}, {"name": "filter", "ratio": 1.0}]


def settings(defenses: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """Settings of a run that takes seconds."""
    quick = {"splits": 1, "attacks": {"loss": {"timesteps": [50], "draws": 1}},
             "metrics__features_params": {"dimensions": 16, "steps": 5, "fits": 1}}  # fmt: skip
    return small(defenses=defenses, **{**quick, **changes})


def carried_out(folder: Path, defenses: list[dict[str, Any]], **changes: Any) -> Counter[str]:
    """Run in this process; counts the performed stages by name."""
    with in_process() as done, without_report():
        result = run(parse_config(settings(defenses, **changes)), Layout(folder), 1, Console(quiet=True))
    assert not result.failed
    return Counter(task.stage for task in done)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counter[str]]:
    """A run whose four cells need one training: (its folder, the counts of performed stages)."""
    folder = tmp_path_factory.mktemp("shared") / "run"
    return folder, carried_out(folder, DEFENSES)


def measured(folder: Path, defense: str) -> pd.DataFrame:
    """The rows of one defense, except costs."""
    rows = read_rows(folder / "results.csv")
    return rows[(rows["defense"] == defense) & (rows["kind"] != "cost")].reset_index(drop=True)


def test_one_training_serves_all_cells_that_share_its_weights_or_its_beginning(
    shared: tuple[Path, Counter[str]],
) -> None:
    folder, performed = shared
    assert performed == {"extractor": 1, "reference": 1, "prepare": 4, "train": 1, "sample": 4, "features": 4,
                         "probe": 4, "attack": 4, "measure": 4}  # fmt: skip
    assert len(Layout(folder).models) == 3


@pytest.mark.parametrize("defense", [{"name": "early_stop", "steps": [4]}, {"name": "filter", "ratio": 1.0}], ids=str)
def test_rows_equal_those_of_models_trained_one_by_one(
    defense: dict[str, Any], shared: tuple[Path, Counter[str]], tmp_path: Path
) -> None:
    carried_out(tmp_path / "alone", [defense])
    label = ["steps=4"] if "steps" in defense else []
    one, other = measured(tmp_path / "alone", defense["name"]), measured(shared[0], defense["name"])
    other = other[other["params"].isin(label)].reset_index(drop=True) if label else other
    assert len(one) > 10
    pd.testing.assert_frame_equal(one, other)


def test_a_cost_row_states_what_training_that_model_alone_costs(shared: tuple[Path, Counter[str]]) -> None:
    rows = read_rows(shared[0] / "results.csv")
    cost = rows[(rows["source"] == "train") & (rows["split"] == "0")].set_index(["defense", "params", "metric"])[
        "value"
    ]
    for defense, params, steps in (("none", "", 12), ("early_stop", "steps=4", 4), ("early_stop", "steps=8", 8)):
        assert cost[defense, params, "training_steps"] == steps
        assert cost[defense, params, "training_model_calls"] == 16 * steps
    seconds = [cost["early_stop", "steps=4", "training_seconds"], cost["none", "", "training_seconds"]]
    assert 0 < seconds[0] < seconds[1]
    assert cost["filter", "ratio=1", "training_seconds"] == seconds[1]


def test_a_shorter_training_added_to_a_finished_run_trains_that_model_only(
    shared: tuple[Path, Counter[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(shared[0], folder)
    more = [*DEFENSES, {"label": "sooner", "stack": [{"name": "early_stop", "steps": 2}]}]
    assert carried_out(folder, more) == {"prepare": 1, "train": 1, "sample": 1, "features": 1, "probe": 1, "attack": 1,
                                         "measure": 1}  # fmt: skip
    plan = make_plan(parse_config(settings(more)))
    assert load_facts(plan.by_name["sooner_steps=2-split0"], Layout(folder))["steps"] == 2
    assert carried_out(folder, more) == {}


def test_a_lost_snapshot_is_trained_again_by_itself(shared: tuple[Path, Counter[str]], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(shared[0], folder)
    plan = make_plan(parse_config(settings(DEFENSES)))
    model = Layout(folder).model(plan.by_name["early_stop_steps=8-split0"].keys["train"])
    before = {path.name: path.read_bytes() for path in (model / "model").rglob("*.safetensors")}
    shutil.rmtree(model)
    assert carried_out(folder, DEFENSES) == {"train": 1}
    assert {path.name: path.read_bytes() for path in (model / "model").rglob("*.safetensors")} == before


def test_if_a_training_diverges_so_do_the_shorter_trainings_that_it_includes(tmp_path: Path) -> None:
    with in_process() as done, without_report():
        result = run(
            parse_config(settings(DEFENSES, training__learning_rate=1e30)), Layout(tmp_path), 1, Console(quiet=True)
        )
    assert sum(task.stage == "train" for task in done) == 1
    assert "none-split0" in result.diverged
    assert "early_stop_steps=8-split0" in result.diverged


def test_clean_removes_what_no_cell_uses(shared: tuple[Path, Counter[str]], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(shared[0], folder)
    layout = Layout(folder)
    assert clean(layout) == []
    fewer = [DEFENSES[0], {"name": "early_stop", "steps": [8]}]
    assert carried_out(folder, fewer) == {}
    removed = ["cells/early_stop_steps=4-split0", "cells/filter_ratio=1-split0"]
    looked = [str(path.relative_to(folder)) for path, size in clean(layout, dry_run=True) if size > 0]
    assert looked[1:] == removed
    assert len(layout.models) == 3
    said = CliRunner().invoke(main, ["clean", str(folder)]).output
    assert "3 folders removed" in said
    assert layout.cells == ["early_stop_steps=8-split0", "none-split0"]
    assert len(layout.models) == 2
    assert carried_out(folder, fewer) == {}


def test_clean_does_not_take_a_changed_version_for_unused_models(
    shared: tuple[Path, Counter[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(shared[0], folder)
    monkeypatch.setattr("leakfront.harness.store.libraries._version", lambda name: "another")
    with pytest.raises(InputError, match=r"none of the models in .* so all would be removed; run the config first"):
        clean(Layout(folder))
    assert len(Layout(folder).models) == 3


def contrast(work: Work) -> Files:
    """The contrast of a cell's samples, for a stage that the package does not have."""
    work.progress(1, 1, {})
    return {"contrast.safetensors": {"contrast": load_samples(work.cell, work.layout).std((1, 2, 3))}}


@pytest.fixture
def made_up() -> Iterator[Stage]:
    """A stage added to the list, as a new file would add it."""
    stage = Stage("contrast", "cell", inputs=("sample",), settings=lambda subject: "deviation", code=lambda subject: [],
                  run=contrast, work=lambda work: 5.0)  # fmt: skip
    STAGES.append(stage)
    BY_NAME[stage.name] = stage
    yield stage
    STAGES.remove(stage)
    del BY_NAME[stage.name]


def test_a_new_stage_is_one_declaration(made_up: Stage, shared: tuple[Path, Counter[str]], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(shared[0], folder)
    layout, config = Layout(folder), parse_config(settings(DEFENSES))
    with (tmp_path / "out").open("w") as out:
        print_plan(config, layout, 1, Console(file=out, width=200))
    assert "contrast" in (tmp_path / "out").read_text()
    assert carried_out(folder, DEFENSES) == {"contrast": 4}
    plan = make_plan(config)
    for cell in plan.cells:
        stored = load_file(layout.stage(cell.name, "contrast") / "contrast.safetensors")["contrast"]
        np.testing.assert_array_equal(stored, load_samples(cell, layout).std((1, 2, 3)))
    assert carried_out(folder, DEFENSES) == {}
    other = make_plan(parse_config(settings(DEFENSES, sampling__images=90)))
    assert all(other.by_name[cell.name].keys["contrast"] != cell.keys["contrast"] for cell in plan.cells)
    assert clean(layout) == []


def test_the_list_of_stages_does_not_import_torch() -> None:
    code = "import sys, leakfront.harness.stages; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
