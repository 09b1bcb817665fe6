"""The whole suite through the stages: attacks cannot read the coins of the target, and no query is made twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from leakfront.attacks import Scores, Target
from leakfront.attacks.suites import SUITES
from leakfront.harness.plan.keys import late_keys
from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages import ATTACK
from leakfront.harness.stages import attack as stage
from leakfront.harness.stages.pool import stored_pool
from leakfront.harness.stages.stage import Work, perform
from leakfront.harness.store.layout import Layout
from leakfront.results.run.rows import read_rows
from tests.in_process import run_here
from tests.small_config import small

SPLITS = 3


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Plan, Layout]]:
    """A finished run of suite v1, on models in closed form and with short fits: what they learn is not looked at."""
    settings = small(suite="v1", splits=SPLITS, data__pool=64, model={"name": "gaussian"},
                     metrics={"features": "digits_frozen", "names": ["kid"]})  # fmt: skip
    del settings["attacks"]
    layout = Layout(tmp_path_factory.mktemp("suite") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SUITES["v1"]["side"], "steps", 20)
        patch.setitem(SUITES["v1"]["quantile"], "timesteps", [100])
        result, _ = run_here(settings, layout.root, report=False)
        assert not result.failed
        assert not result.diverged
        yield make_plan(parse_config(settings)), layout


def attack(plan: Plan, cell: CellPlan, shadows: Sequence[CellPlan], layout: Layout) -> None:
    """Every attack on a cell, with these shadow models."""
    for name, key in late_keys(plan, cell, tuple(shadows), ATTACK).items():
        work = Work(plan, cell, tuple(shadows), name, layout=layout, pool=stored_pool(layout))
        perform(ATTACK, work, key)


@pytest.fixture
def copied(finished: tuple[Plan, Layout], tmp_path: Path) -> tuple[Plan, Layout]:
    plan, layout = finished
    shutil.copytree(layout.root, tmp_path / "run")
    return plan, Layout(tmp_path / "run")


def test_every_attack_of_the_suite_has_its_rows(finished: tuple[Plan, Layout]) -> None:
    plan, layout = finished
    rows = read_rows(layout.root / "results.csv")
    assert (rows["suite"] == "v1").all()
    for split in (*map(str, range(SPLITS)), "all"):
        here = rows[rows["split"] == split]
        assert set(here[here["metric"] == "auc"]["source"]) == set(plan.attacks)
    counted = set(rows[rows["metric"] == "unique_extracted_at_fdr"]["source"])
    assert counted == {label for label, attack in plan.attacks.items() if attack.extracts}
    assert 10 in set(rows[(rows["source"] == "dataset_inference") & (rows["metric"] == "set_p_value_members")]["level"])
    info = json.loads((layout.root / "run.json").read_text())
    assert info["suite"] == "v1"
    assert any(note.startswith("attack lira_online") for note in info["attack_notes"])


def test_the_suite_together_needs_at_most_half_of_the_calls(finished: tuple[Plan, Layout]) -> None:
    rows = read_rows(finished[1].root / "results.csv")
    calls = rows[(rows["source"] == "suite") & (rows["split"] == "0")].set_index("metric")["value"]
    alone = rows[(rows["metric"] == "model_calls_per_image") & (rows["split"] == "0")].set_index("source")["value"]
    assert calls["model_calls_per_image_apart"] == pytest.approx(alone[list(finished[0].attacks)].sum())
    assert calls["model_calls_per_image"] <= calls["model_calls_per_image_apart"] / 2


def scores_of(cell: CellPlan, layout: Layout) -> dict[str, bytes]:
    """The stored scores of a cell by attack."""
    return {p.parent.name: p.read_bytes() for p in layout.stage(cell.name, "attack").glob("*/scores.safetensors")}


def test_scores_do_not_depend_on_the_coins_of_the_target(copied: tuple[Plan, Layout]) -> None:
    """Swap everything from which an attack could read the target's coins: no score changes."""
    plan, layout = copied
    cell = plan.by_name["none-split1"]
    before, coins = scores_of(cell, layout), layout.stage(cell.name, "prepare") / "coins.safetensors"
    save_file({"members": ~load_file(coins)["members"].astype(bool)}, coins)
    shutil.rmtree(layout.stage(cell.name, "attack"))
    attack(plan, cell, plan.siblings(cell), layout)
    assert scores_of(cell, layout) == before


def test_a_cell_cannot_be_its_own_shadow(finished: tuple[Plan, Layout]) -> None:
    plan, layout = finished
    cell = plan.by_name["none-split0"]
    with pytest.raises(ValueError, match="its own shadow"):
        attack(plan, cell, plan.cells, layout)


@dataclass(frozen=True)
class Sealed(Target):
    """A target that refuses access to anything outside the contract."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"an attack asked the target for {name!r}")


def test_attacks_read_only_what_the_contract_gives_them_and_run_without_the_coins_of_the_target(
    copied: tuple[Plan, Layout], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, layout = copied
    cell = plan.by_name["none-split0"]
    before = scores_of(cell, layout)
    assert set(before) == set(plan.attacks)
    asked: list[str] = []

    def sealed(*arguments: Any) -> Target:
        return Sealed(**vars(build(*arguments)))

    def refuse(of: Any, *_: Any) -> np.ndarray:
        asked.append(of.name)
        assert of.name != cell.name, "the coins of the target were asked for"
        return load_members(of, layout)

    build, load_members = stage._target, stage.load_members
    monkeypatch.setattr(stage, "_target", sealed)
    monkeypatch.setattr(stage, "load_members", refuse)
    for stage_name in ("attack", "prepare"):
        shutil.rmtree(layout.stage(cell.name, stage_name))
    attack(plan, cell, plan.siblings(cell), layout)
    assert scores_of(cell, layout) == before
    assert set(asked) == {"none-split1", "none-split2"}
    assert {field.name for field in fields(Sealed)} == {field.name for field in fields(Target)}


def test_an_attack_that_asks_for_coins_is_stopped(finished: tuple[Plan, Layout]) -> None:
    """The sealed target does raise."""
    plan, layout = finished
    pool = stored_pool(layout)
    view = stage.pool_view(pool, pool.labels, layout)
    work = Work(plan, plan.cells[0], layout=layout, pool=pool)
    target = Sealed(**vars(stage._target(work, plan.cells[0], view, 0)))

    def peeking(seen: Any) -> Scores:
        return Scores(seen.members.astype(float))

    with pytest.raises(AssertionError, match="asked the target for 'members'"):
        peeking(target)


def test_an_attack_with_too_few_shadows_is_left_out_with_a_row_that_says_why(tmp_path: Path) -> None:
    settings = small(splits=1, attacks={"loss": {"timesteps": [50], "draws": 1}, "lira": {}, "secmi": {}},
                     metrics={"names": [], "features": "pixels"})  # fmt: skip
    outcome, said = run_here(settings, tmp_path / "run", report=False)
    assert not outcome.failed
    rows = read_rows(tmp_path / "run" / "results.csv")
    left_out = rows[rows["metric"] == "left_out"]
    assert left_out["source"].tolist() == ["lira"]
    assert "needs 2 shadow models" in left_out["ci_method"].iloc[0]
    assert "auc" not in set(rows[rows["source"] == "lira"]["metric"])
    assert "attack lira: left out: it needs 2 shadow models" in said
    assert "attack loss: nothing is chosen: the source's defaults hold" in said
    assert "attack secmi: nothing is chosen: the source's defaults hold" in said
