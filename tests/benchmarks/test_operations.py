"""The operations of a run follow from its plan and from its network."""

import re
import shlex
from pathlib import Path

import pytest

from benchmarks import operations
from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.file import load_config

ROOT = Path(__file__).parents[2]


def test_early_stops_and_guards_share_a_training() -> None:
    config = load_config("cifar10", ("splits=2", "training.steps=10", "training.batch_size=4"))
    config = config.model_copy(update={"defenses": tuple(d for d in config.defenses if d["name"] != "dp_finetune")})
    plan = make_plan(config)
    assert [point.line for point in plan.points] == [
        "none", "dedup", "augment", "early_stop", "early_stop", "guidance",
    ]  # fmt: skip
    found = operations.work(plan, (3, 32, 32))
    assert found["training"] == 2 * 3 * (3 * 10 * 4)  # splits, trainings, passes
    assert found["sampling"] == 2 * 6 * config.sampling.images * config.sampling.steps
    asked = 3 * 2  # timesteps and draws, which loss and lira share
    assert found["queries"] == 2 * 6 * (config.data.pool * asked)
    assert found["all"] == sum(found[part] for part in ("training", "sampling", "queries"))


def test_four_times_the_pixels_take_four_times_the_operations() -> None:
    plan = make_plan(load_config("cifar10", ("model.middle_attention=false",)))
    (weights, small), (same, large) = (operations.call(plan, (3, side, side)) for side in (8, 16))
    assert weights == same
    assert large == pytest.approx(4 * small, rel=0.05)  # but for the embedding of the time


DOCS = (ROOT / "docs/speed.md").read_text()
(FINE_TUNE,) = re.findall(r"python -m (benchmarks\.operations finetune .*?)\n```", DOCS, re.S)


@pytest.mark.parametrize("command", ["benchmarks.operations cifar10-gpu", FINE_TUNE.replace("\\\n", "")])
def test_the_table_in_the_docs_is_the_one_that_is_printed(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", shlex.split(command))
    operations.main()
    table = capsys.readouterr().out.partition("\n\n")[2]
    assert table.count("\n") == 8
    assert table in DOCS


def test_trainings_are_dealt_to_gpus_longest_first() -> None:
    assert operations.longest([3, 1, 2, 2], 1) == 8
    assert operations.longest([3, 1, 2, 2], 2) == 4
    assert operations.longest([3, 1, 2, 2], 64) == 3
    plan = make_plan(load_config("cifar10-gpu"))
    tasks, work = operations.trainings(plan, (3, 32, 32)), operations.work(plan, (3, 32, 32))
    assert sum(tasks) == pytest.approx(work["all"])
    assert operations.longest(tasks, 1) == pytest.approx(work["all"])
