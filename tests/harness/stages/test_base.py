"""The base of a run that fine-tunes: trained once on public pairs, shared by all cells, and part of their keys."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from leakfront.errors import InputError
from leakfront.harness.checks import check_everything
from leakfront.harness.dry_run import print_plan
from leakfront.harness.plan.make import make_plan
from leakfront.harness.run import run as carry_out
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages import BASE, TRAIN
from leakfront.harness.stages.base import CHECKPOINT, base_work, load_base, public_set, refuse_overlap
from leakfront.harness.stages.pool import stored_pool
from leakfront.harness.stages.stage import Work
from leakfront.harness.stages.train import load_model
from leakfront.harness.store.layout import Layout
from tests.harness.test_text_models import MODEL, settings
from tests.in_process import in_process, without_report

LORA = {**MODEL, "name": "lora", "rank": 2, "base_steps": 6, "base_batch_size": 8, "base_learning_rate": 1e-3}
DEFENSES = [{"name": "none"}, {"name": "early_stop", "fraction": 0.5}]
ONE_ATTACK = {"loss": {"timesteps": [100], "draws": 1}}


def tuning(**changes: Any) -> dict[str, Any]:
    return settings(**{"model": LORA, "defenses": DEFENSES, "splits": 2, "attacks": ONE_ATTACK, **changes})


def keys(**changes: Any) -> tuple[str, str]:
    """The key of the base, and of the first cell's weights."""
    plan = make_plan(parse_config(tuning(**changes)))
    return plan.keys["base"], plan.cells[0].keys["train"]


def carried_out(folder: Path) -> list[str]:
    """The stages of the tasks of a run, in their order."""
    with in_process() as done, without_report():
        outcome = carry_out(parse_config(tuning()), Layout(folder), 1, Console(quiet=True))
    assert (outcome.failed, outcome.diverged) == ({}, [])
    return [task.stage for task in done]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("base") / "run"
    return folder, carried_out(folder)


def test_it_is_trained_once_before_all_cells(run: tuple[Path, list[str]]) -> None:
    folder, done = run
    assert done.count("base") == 1
    assert done.index("base") < done.index("train")
    assert not (folder / CHECKPOINT).exists()


def test_all_cells_share_its_weights_and_learn_adapters_of_their_own(run: tuple[Path, list[str]]) -> None:
    folder, _ = run
    plan, layout = make_plan(parse_config(tuning())), Layout(folder)
    own = load_base(plan, layout).network.state_dict()
    adapters = []
    for cell in plan.cells:
        model: Any = load_model(plan, cell, layout)
        kept = model.base.parameters()
        assert all(torch.equal(kept[name], own[name.replace(".base_layer", "")]) for name in kept)
        adapters.append(torch.cat([value.flatten() for value in model.parameters().values()]))
    assert len({tuple(values.tolist()) for values in adapters}) == len(plan.cells)
    assert all("lora_B" not in name or bool(v.abs().sum() > 0) for name, v in model.parameters().items())


def test_it_was_trained_on_the_public_pairs_alone(run: tuple[Path, list[str]]) -> None:
    folder, _ = run
    pool = stored_pool(Layout(folder))
    public = public_set(pool)
    assert len(public) == 1797 - 96 - 50
    assert public.captions is not None
    assert set(public.pool_index) == {-1}
    refuse_overlap(public, pool)
    with pytest.raises(InputError, match="2 of the 1653 public images that the base is trained on are in the pool"):
        refuse_overlap(replace(public, images=np.concatenate([public.images, pool.images[:2]])), pool)


def test_a_lost_base_is_made_again_with_the_same_weights(run: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run[0], folder)
    before = {path.name: path.read_bytes() for path in (folder / "base").rglob("*.safetensors")}
    shutil.rmtree(folder / "base")
    assert carried_out(folder) == ["base"]
    assert {path.name: path.read_bytes() for path in (folder / "base").rglob("*.safetensors")} == before
    damaged = folder / "base" / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    assert carried_out(folder) == ["base"]


def test_its_key_follows_from_its_own_settings_alone() -> None:
    base, weights = keys()
    for changed in ({"model": {**LORA, "rank": 3}}, {"training__steps": 13}, {"training__learning_rate": 1e-4}):
        own, of_cell = keys(**changed)
        assert own == base
        assert of_cell != weights
    for changed in (
        {"model": {**LORA, "base_steps": 7}},
        {"model": {**LORA, "heads": 1}},
        {"training__ema_decay": 0.5},
    ):
        own, of_cell = keys(**changed)
        assert own != base
        assert of_cell != weights


def test_other_families_have_none() -> None:
    plan = make_plan(parse_config(settings()))
    assert "base" not in plan.keys
    assert not TRAIN.also(plan)
    assert base_work(plan) == 0


def test_without_public_pairs_it_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.name = 'lora' trains a base on public images.*lower data\.pool"):
        check_everything(parse_config(tuning(data__reference=1797 - 96)), Layout(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_dry_run_counts_it_once(tmp_path: Path) -> None:
    out = io.StringIO()
    print_plan(parse_config(tuning()), Layout(tmp_path / "run"), 1, Console(file=out, width=200))
    assert "the base is trained once, on 1651 public images" in out.getvalue()


def test_a_base_that_diverges_ends_the_run_with_a_sentence(run: tuple[Path, list[str]], tmp_path: Path) -> None:
    config = parse_config(tuning(model={**LORA, "base_learning_rate": 1e30}))
    plan, layout = make_plan(config), Layout(tmp_path)
    with pytest.raises(InputError, match=r"training of the base diverged at step \d+; lower model\.base_learning_rate"):
        BASE.run(Work(plan=plan, layout=layout, pool=stored_pool(Layout(run[0]))))
