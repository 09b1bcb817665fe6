"""Generations of attacks: they go on after an interruption, and are made twice behind guards of the sampler."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from leakfront.attacks import Generated, GenerationContext
from leakfront.attacks.contract import signal_key
from leakfront.harness.execution.process import Task
from leakfront.harness.execution.tasks import run_task, work_of
from leakfront.harness.plan.plan import Plan
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages.generated import generate
from leakfront.harness.stages.probed import load_generated, load_generated_with_weights
from leakfront.harness.stages.stored_json import read_facts
from leakfront.harness.stages.train import load_model
from leakfront.harness.store.integrity import verify
from leakfront.harness.store.layout import Layout
from tests.in_process import in_process, run_here
from tests.small_config import small

PARTS, EACH = 3, 2
made: list[int] = []
stops_at: list[int] = []


@dataclass(frozen=True)
class InParts:
    """Images for the first pool images, in parts; it is interrupted in the part that `stops_at` names."""

    served: ClassVar[bool] = True

    def images(self, pool: int, samples: int) -> float:
        return PARTS * EACH

    def generate(self, context: GenerationContext) -> Generated:
        parts = [context.keep(f"part {number}", partial(self._part, context, number)) for number in range(PARTS)]
        return Generated(*(np.concatenate([part[name] for part in parts]) for name in ("images", "prompt")))

    def _part(self, context: GenerationContext, number: int) -> dict[str, np.ndarray]:
        if number in stops_at:
            raise KeyboardInterrupt
        made.append(number)
        rows = EACH * number + np.arange(EACH)
        images = context.sample(context.pool.conditions[rows], [int(row) + 10**6 for row in rows])
        return {"images": images, "prompt": rows}


KEY = signal_key(InParts())
GUARDED = {"label": "guarded", "stack": [{"name": "guidance"}, {"name": "filter", "ratio": 1.9, "tries": 2}]}
SETTINGS = small(
    model={"name": "memorizer"}, splits=1, defenses=[{"name": "none"}, GUARDED],
    attacks={"extraction": {"neighbours": 10}, "side": {"neighbours": 10, "clusters": 2, "steps": 2}},
    sampling__images=24, metrics={"features": "digits_frozen", "names": ["kid"]},
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated") / "run"
    outcome, _ = run_here(SETTINGS, folder, report=False)
    assert not outcome.failed
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run, whose attacks now ask for `InParts`."""
    monkeypatch.setattr(Plan, "generations", property(lambda plan: [InParts()]))
    made.clear()
    stops_at.clear()
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def task(run: Path, cell: str = "none-split0") -> Task:
    return Task("probe", run, parse_config(SETTINGS).model_dump_json(), cell)


def generated(run: Path) -> Any:
    with in_process():
        work = work_of(task(run))
        model = load_model(work.plan, work.cell, work.layout)
        return generate(work, model, np.zeros(len(work.pool), np.int64), {}, work.plan.generations)


def test_an_interrupted_generation_goes_on_with_the_part_that_it_was_in(run: Path) -> None:
    whole, _, calls = generated(run)
    shutil.rmtree(run / "cells" / "none-split0" / "generation.checkpoint")
    made.clear()
    stops_at.append(2)
    with pytest.raises(KeyboardInterrupt):
        generated(run)
    assert made == [0, 1]
    assert verify(Layout(run), ["none-split0"], [])[1] == []
    stops_at.clear()
    again, _, calls_again = generated(run)
    assert made == [0, 1, 2]
    assert calls_again == calls == {KEY: PARTS * EACH * SETTINGS["sampling"]["steps"]}
    for name in (f"{KEY}/images", f"{KEY}/prompt"):
        np.testing.assert_array_equal(again[name], whole[name])


def test_a_damaged_part_is_made_again(run: Path) -> None:
    generated(run)
    part = sorted((run / "cells" / "none-split0" / "generation.checkpoint").glob("*/part.safetensors"))[0]
    part.write_bytes(part.read_bytes()[:-1])
    made.clear()
    generated(run)
    assert len(made) == 1


def test_behind_a_guard_a_served_generation_is_made_with_the_weights_too_and_its_parts_are_removed(run: Path) -> None:
    layout = Layout(run)
    with in_process():
        none, guarded = work_of(task(run)).plan.cells
        for cell in (none, guarded):
            run_task(task(run, cell.name))
            assert not (layout.cell(cell.name) / "generation.checkpoint").exists()
    assert made == [0, 1, 2] * 3
    plain, served, past = (
        load(cell, layout)[InParts()]
        for load, cell in ((load_generated, none), (load_generated, guarded), (load_generated_with_weights, guarded))
    )
    np.testing.assert_array_equal(past["images"], plain["images"])
    assert (served["images"] != plain["images"]).any()
    np.testing.assert_array_equal(served["prompt"], np.arange(PARTS * EACH))


@dataclass(frozen=True)
class Another(InParts):
    """A second generation, of the same images."""


def test_a_generation_that_is_added_leaves_those_that_are_there(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(run)
    with in_process():
        guarded = work_of(task(run)).plan.cells[1]
        run_task(task(run, guarded.name))
        loads = (load_generated, load_generated_with_weights)
        before = [load(guarded, layout)[InParts()]["images"] for load in loads]
        calls = read_facts(run / "cells" / guarded.name / "probe" / "probe.json")["generation_calls"]
    made.clear()
    monkeypatch.setattr(Plan, "generations", property(lambda plan: [Another(), InParts()]))
    with in_process():  # which plans anew
        run_task(task(run, guarded.name))
    assert made == [0, 1, 2] * 2  # those of the new one, as served and with the weights
    for load, images in zip(loads, before, strict=True):
        np.testing.assert_array_equal(load(guarded, layout)[InParts()]["images"], images)
        assert load(guarded, layout)[Another()]["images"].shape == images.shape
    now = read_facts(run / "cells" / guarded.name / "probe" / "probe.json")["generation_calls"]
    assert now.keys() == {KEY, signal_key(Another())}
    assert now[KEY] == calls[KEY]
