"""Models that are told other labels than the classes: which keys they change, what they are asked, what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from leakfront.errors import InputError
from leakfront.harness.execution.process import Task
from leakfront.harness.execution.tasks import run_task, work_of
from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.plan import Plan
from leakfront.harness.plan.told_labels import check_told_labels
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages.prepare import load_members, load_prepared
from leakfront.harness.stages.sample import asked_of, load_sample_labels, load_sample_prompts, trained_labels
from leakfront.harness.stages.train import load_model
from tests.in_process import in_process, train_here
from tests.small_config import small

CONDITIONAL = {"name": "unet", "channels": [8], "head_channels": 8, "conditional": True}


def settings(**changes: Any) -> dict[str, Any]:
    return small(**{"splits": 1, "training__steps": 2, "model": CONDITIONAL, **changes})


def plan(**changes: Any) -> Plan:
    return make_plan(parse_config(settings(**changes)))


def keys(made: Plan) -> dict[str, str]:
    return {**made.keys, **made.cells[0].keys}


def test_labels_change_what_follows_from_the_training_set_and_neither_pool_nor_features() -> None:
    before = keys(plan())
    assert keys(plan(data__labels="class")) == before
    for labels in ("none", "random", "unique"):
        after = keys(plan(data__labels=labels))
        assert {name for name in before if after[name] != before[name]} == {
            "prepare", "train", "sample", "features", "probe"
        }  # fmt: skip


def test_a_model_is_told_its_own_labels_and_asked_for_those_it_knows_in_an_order_of_their_own(tmp_path: Path) -> None:
    wanted = settings(data__labels="unique")
    train_here(wanted, tmp_path)
    config = parse_config(wanted)
    task = Task("sample", tmp_path, config.model_dump_json(), "none-split0")
    with in_process():
        run_task(task)
        work = work_of(task)
    cell, layout = work.cell, work.layout
    dataset, members = load_prepared(cell, layout)[0], load_members(cell, layout)
    assert dataset.labels.tolist() == dataset.pool_index.tolist()
    model: Any = load_model(work.plan, cell, layout)
    assert model.classes == 97

    known = trained_labels(work)
    assert known is not None
    assert sorted(known) == np.flatnonzero(members).tolist()
    assert sorted(known) != known.tolist()
    assert asked_of(model, work.pool, known).tolist() == known.tolist()
    larger: Any = SimpleNamespace(words=None, classes=3 * 97)  # as a model that asks for a cluster, too
    assert asked_of(larger, work.pool, known).tolist() == [*known, *(known + 97), *(known + 194)]

    assert load_sample_prompts(cell, layout).tolist() == [i % len(known) for i in range(80)]
    assert not load_sample_labels(cell, layout).any()  # no classes, which metrics could take


def test_the_labels_of_images_that_are_told_by_class_are_those_of_the_model() -> None:
    model: Any = SimpleNamespace(words=None, classes=10)
    pool: Any = SimpleNamespace(classes=tuple("0123456789"))
    assert torch.equal(asked_of(model, pool), torch.arange(10))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model__conditional": False}, "are told nothing; set model.conditional = true"),
        ({"data__dataset": "captioned_digits"}, "has captions, which models are told; leave it out"),
        ({"metrics__names": ["classifier_accuracy"]}, "'classifier_accuracy', which needs samples of classes"),
        ({"halves": True}, "the two models of halves know different ones"),
    ],
)
def test_what_cannot_be_told_labels_is_refused(changes: dict[str, Any], says: str) -> None:
    model = {**CONDITIONAL, **{k.removeprefix("model__"): v for k, v in changes.items() if k.startswith("model__")}}
    rest = {k: v for k, v in changes.items() if not k.startswith("model__")}
    with pytest.raises(InputError, match=r"data\.labels = 'unique' is told to class-conditional models") as caught:
        check_told_labels(plan(data__labels="unique", model=model, **rest))
    assert says in str(caught.value)
