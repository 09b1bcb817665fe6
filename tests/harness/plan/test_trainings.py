"""No model is trained twice: cells with equal weights share a training, and a longer one includes shorter ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from leakfront.defenses.none import NoDefense
from leakfront.errors import DivergedError
from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.plan import Plan
from leakfront.harness.plan.trainings import Weights, longest_of, models_of, stopped_early, weights_of
from leakfront.harness.settings.file import load_config
from leakfront.harness.settings.sections import Training, parse_config
from tests.in_process import train_here
from tests.small_config import small


def plan_of(*defenses: dict[str, Any], **changes: Any) -> Plan:
    return make_plan(parse_config(small(splits=1, defenses=list(defenses), **changes)))


def key_of(plan: Plan, cell: str, stage: str = "train") -> str:
    return plan.by_name[f"{cell}-split0"].keys[stage]


def trained(plan: Plan) -> list[str]:
    """The cells that represent the models that are trained themselves."""
    return [model.cell.name.removesuffix("-split0") for model in longest_of(models_of(plan))]


def test_the_benchmark_of_all_defenses_trains_78_models_for_105_cells() -> None:
    plan = make_plan(load_config("defenses"))
    assert len(plan.cells) == 105
    assert len(longest_of(models_of(plan))) == 78


def test_guards_of_the_sampler_use_the_undefended_weights_and_have_samples_of_their_own() -> None:
    plan = plan_of({"name": "none"}, {"name": "filter"}, {"name": "guidance"})
    assert key_of(plan, "none") == key_of(plan, "filter") == key_of(plan, "guidance")
    assert len({key_of(plan, name, "sample") for name in ("none", "filter", "guidance")}) == 3
    assert trained(plan) == ["none"]
    stacked = plan_of({"stack": [{"name": "dedup"}, {"name": "filter"}]}, {"name": "dedup"})
    assert key_of(stacked, "dedup+filter") == key_of(stacked, "dedup") != key_of(stacked, "none")


def test_a_defense_that_only_changes_conditions_has_weights_of_its_own() -> None:
    class Renamed(NoDefense):
        def recondition(self, condition: Any, words: Any, generator: Any) -> Any:
            return condition + 1

    assert weights_of([NoDefense(), Renamed()], 100) == Weights((Renamed(),), 100, prefix=True)


def test_a_training_that_is_stopped_at_a_step_is_the_beginning_of_the_longer_one() -> None:
    plan = plan_of({"name": "none"}, {"name": "early_stop", "fraction": [0.25, 0.5]})
    assert trained(plan) == ["none"]
    assert [model.steps for model in models_of(plan)] == [12, 3, 6]
    assert len({model.family for model in models_of(plan)}) == 1
    deduplicated = plan_of({"name": "dedup"}, {"stack": [{"name": "dedup"}, {"name": "early_stop", "steps": 5}]})
    assert trained(deduplicated) == ["none", "dedup"]


@pytest.mark.parametrize(
    "other",
    [
        {"name": "dp_sgd", "epsilon": 5},  # its noise depends on the number of steps
        {"name": "distill"},
        {"name": "early_stop", "patience": 2},  # where it stops depends on the weights
        {"name": "capacity"},
        {"name": "augment", "probability": 0.3},
    ],
)
def test_a_defense_that_acts_on_training_has_a_training_of_its_own(other: dict[str, Any]) -> None:
    plan = plan_of({"name": "none"}, other, {"stack": [other, {"name": "early_stop", "steps": 5}]} if
                   other["name"] not in ("early_stop", "augment") else {"name": "dedup"})  # fmt: skip
    assert len(trained(plan)) == 3


def test_the_record_says_which_training_was_stopped_early() -> None:
    plan = plan_of(
        {"name": "early_stop", "steps": [3, 5]},
        {"name": "dedup"},
        {"stack": [{"name": "dedup"}, {"name": "early_stop", "steps": 5}]},
        {"label": "both", "stack": [{"name": "augment"}, {"name": "early_stop", "fraction": 0.5}]},
        {"name": "early_stop", "patience": 2},
    )
    assert stopped_early(plan) == {
        "early_stop (steps=3)": "none", "early_stop (steps=5)": "none", "dedup+early_stop (steps=5)": "dedup",
        "both (fraction=0.5)": "(augment)",
    }  # fmt: skip


def test_keys_do_not_depend_on_which_other_cells_there_are() -> None:
    alone = plan_of({"name": "early_stop", "steps": 5})
    together = plan_of({"name": "early_stop", "steps": [5, 7]}, {"name": "dedup"}, {"name": "filter"})
    assert key_of(alone, "early_stop_steps=5") == key_of(together, "early_stop_steps=5")
    assert alone.by_name["none-split0"].keys == together.by_name["none-split0"].keys


def test_a_training_stopped_at_a_step_has_the_key_of_a_training_of_that_many_steps() -> None:
    stopped = plan_of({"name": "early_stop", "steps": 5})
    short = plan_of({"name": "none"}, training__steps=5)
    assert key_of(stopped, "early_stop_steps=5") == key_of(short, "none")


def test_training_sets_and_seeds_keep_models_apart() -> None:
    two = make_plan(parse_config(small(defenses=[{"name": "none"}, {"name": "filter"}])))
    assert len(models_of(two)) == 2  # one for each split
    assert plan_of({"name": "none"}, seed=1).cells[0].keys["train"] != plan_of({"name": "none"}).cells[0].keys["train"]


def test_a_budget_in_epochs_is_in_steps_for_the_size_of_a_training_set() -> None:
    assert Training(epochs=3, batch_size=16).in_steps(100) == 19  # 300 images in batches of 16
    assert Training(epochs=0.001, batch_size=16).in_steps(1) == 1
    assert Training(steps=7).in_steps(10**6) == 7
    assert Training().in_steps(1) == 2000


def test_of_a_budget_in_epochs_each_model_is_trained_by_itself() -> None:
    """Its steps follow from the training set, so that none is known to be the beginning of another."""
    defenses = [{"name": "none"}, {"name": "early_stop", "fraction": [0.25, 0.5]}]
    plan = plan_of(*defenses, training={"epochs": 4, "batch_size": 16})
    assert len(trained(plan)) == 3
    expected = 4 * (88 + 8 * 4) * 0.5 / 16  # half of 88 images and of 8 with 4 copies
    assert {model.steps for model in models_of(plan)} == {round(expected)}
    again = parse_config(json.loads(plan.config.model_dump_json()))  # as workers get it
    assert (again.training.steps, again.training.epochs) == (None, 4)
    assert again == plan.config


def test_an_override_of_epochs_takes_the_place_of_steps() -> None:
    assert load_config("digits", ("training.epochs=5",)).training.steps is None
    both = load_config("digits", ("training.epochs=5", "training.steps=9")).training
    assert (both.steps, both.epochs) == (9, None)
    assert load_config("digits", ("training.epochs=5",), smoke=True).training.epochs == 5


@pytest.mark.parametrize(
    ("layer", "images"), [({"name": "dp_sgd", "epsilon": 8}, "expected"), ({"name": "dedup"}, "its own")]
)
def test_the_size_of_a_training_set_decides_its_steps_unless_it_is_private(
    layer: dict[str, Any], images: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def train(model: Any, dataset: Any, public: Any, expected: float, training: Any, *_: Any) -> Any:
        seen.update({"its own": len(dataset), "expected": expected, "steps": training.settings.steps})
        raise DivergedError(1)

    monkeypatch.setattr("leakfront.harness.training.loop.train", train)
    train_here(small(seed=2, splits=1, defenses=[layer], training={"epochs": 50, "batch_size": 5}), tmp_path / "run")
    assert round(50 * seen["its own"] / 5) != round(50 * seen["expected"] / 5)
    assert seen["steps"] == round(50 * seen[images] / 5)
