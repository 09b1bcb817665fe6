"""Several processes that train one model together train the same model as a single process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from leakfront.defenses.training.ranks import Ranks
from leakfront.errors import InputError
from leakfront.harness.checks import check_everything
from leakfront.harness.execution import data_parallel, process
from leakfront.harness.execution.data_parallel import training_ranks
from leakfront.harness.execution.process import Task
from leakfront.harness.execution.tasks import run_task
from leakfront.harness.plan import limits
from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages import POOL
from leakfront.harness.stages.stage import Work, perform
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.run_folder import write_config
from leakfront.harness.store.secret import make_secret
from tests.command_line import WITHOUT_REPORT
from tests.forked import quick_starts
from tests.small_config import small, write_toml


@pytest.fixture(autouse=True)
def enough_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "cores", lambda: 64)


@pytest.fixture
def quick() -> Iterator[None]:
    """Processes start without imports."""
    with quick_starts():
        yield


class Killed(BaseException):
    """Stands for a kill; no code may catch it."""


class Events:
    """Receives the events of a training, and kills it at a step."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.kill_at = kill_at
        self.steps: list[int] = []

    def put(self, event: dict[str, Any]) -> None:
        if event.get("stage") == "train" and "done" in event:
            self.steps.append(event["done"])
            if event["done"] == self.kill_at:
                raise Killed


RDP = {"epsilon": 20.0, "accountant": "rdp"}  # the quicker one
PRIVATE = {**RDP, "noise_multiplicity": 2, "physical_batch_size": 12}  # chunks of 6 images and a smaller one
DEFENSES: dict[str, dict[str, Any]] = {
    "augment": {"name": "augment"},
    "dp_sgd": {"name": "dp_sgd", **PRIVATE},
    "per layer": {"name": "dp_sgd", **PRIVATE, "clipping": "per_layer"},
    "dp_finetune": {"name": "dp_finetune", **PRIVATE, "pretrain_steps": 10},
    # with one image at a time the first rank has none
    "augmented, one image at a time": {
        "stack": [
            {"name": "augment", "probability": 0.5},
            {"name": "dp_sgd", **RDP, "physical_batch_size": 1},
        ]
    },
}


def train(
    folder: Path, processes: int, defense: dict[str, Any], kill_at: int | None = None
) -> tuple[dict[str, Any], torch.Tensor, list[int]]:
    """Train the one model of a small benchmark: (its facts, its predictions, the steps that were reported)."""
    layout = Layout(folder)
    settings = small(splits=1, model__dropout=0.0, training__batch_size=15, training__steps=4, defenses=[defense],
                     execution={"processes": processes}, attacks={"loss": {"timesteps": [50], "draws": 1}})  # fmt: skip
    plan, pool = check_everything(parse_config(settings), layout)
    folder.mkdir(exist_ok=True)
    write_config(layout, plan.config, {})
    make_secret(layout, privacy_seed=0)
    perform(POOL, Work(plan=plan, layout=layout, pool=pool), plan.keys["pool"])
    process._events = events = Events(kill_at)
    cell = plan.cells[-1]  # after "none"
    for stage in ("prepare", "train"):
        run_task(Task(stage, folder, plan.config.model_dump_json(), cell.name))
    trained = layout.model(cell.keys["train"])
    images = torch.from_numpy(np.random.default_rng(0).standard_normal((8, 1, 8, 8), dtype=np.float32))
    predictions = plan.model.load(trained / "model").predict_noise(images, torch.arange(0, 800, 100), None)
    return json.loads((trained / "train.json").read_text()), predictions.detach(), events.steps


@pytest.mark.parametrize("name", ["augment", "dp_sgd"])
def test_two_processes_train_the_same_model_as_one_and_resume_from_a_checkpoint(name: str, tmp_path: Path) -> None:
    alone, expected, _ = train(tmp_path / "alone", 1, DEFENSES[name])
    with pytest.raises(Killed), quick_starts():
        train(tmp_path / "together", 2, DEFENSES[name], kill_at=2)
    with nullcontext() if name == "augment" else quick_starts():  # once they are spawned, as outside of tests
        together, found, steps = train(tmp_path / "together", 2, DEFENSES[name])
    assert steps[0] == 3
    same(together, found, alone, expected)
    assert not torch.distributed.is_initialized()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "name",
    [
        "augmented, one image at a time",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("per layer", "dp_finetune")),
    ],
)
def test_private_steps_equal_those_of_one_process_however_a_batch_is_split(name: str, tmp_path: Path) -> None:
    alone, expected, _ = train(tmp_path / "alone", 1, DEFENSES[name])
    together, found, _ = train(tmp_path / "together", 2, DEFENSES[name])
    same(together, found, alone, expected)
    assert together["report"]["clipped_fraction"] > 0


@pytest.mark.slow  # 150 steps by two processes, twice; `test_execution` kills a worker in less time
def test_a_killed_process_costs_its_model_one_retry(tmp_path: Path) -> None:
    settings = small(splits=1, training__steps=150, training__checkpoint_seconds=0.05, execution={"processes": 2},
                     attacks={"loss": {"timesteps": [50], "draws": 1}})  # fmt: skip
    # with 2 cores, whatever the machine has
    code = f"import os; os.sched_getaffinity = lambda _: {{0, 1}}; {WITHOUT_REPORT}"
    command = [sys.executable, "-c", code, "run", write_toml(tmp_path / "c.toml", settings), "--workers", "1"]
    run = subprocess.Popen([*command, "--out", str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("run/models/*/train.checkpoint")):
        assert run.poll() is None
        time.sleep(0.02)
    ranks = [process for worker in psutil.Process(run.pid).children() for process in worker.children()]
    (rank,) = [process for process in ranks if "spawn_main" in " ".join(process.cmdline())]
    rank.kill()
    said, _ = run.communicate()
    assert run.returncode == 0
    assert "the worker process of none-split0: train died (exit code 1); it is tried once more" in said
    assert (tmp_path / "run/results.csv").exists()


class Starting:
    """What a process does when it unpickles its arguments, before it has met the others."""

    def __init__(self, call: Callable[[int], object], argument: int) -> None:
        self._does = call, (argument,)

    def __reduce__(self) -> Any:
        return self._does


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("starting", "says"),
    [
        (Starting(os._exit, 3), "process 2 of 2 of a training ended with exit code 3 before it met the others"),
        (Starting(time.sleep, 600), "process 2 of 2 of a training did not meet the others within 0.2 s"),
        (Starting(signal.raise_signal, signal.SIGKILL), "  process 2 of 2 of a training was killed (SIGKILL)"),
    ],
    ids=["ends", "hangs", "is killed"],
)
def test_a_process_that_dies_before_it_meets_the_others_is_named_in_time(
    starting: Any, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[dict[str, str]] = []

    def end(code: int) -> None:
        raise Killed(code)

    monkeypatch.setattr(data_parallel, "MEETING_SECONDS", 0.2 if "0.2" in says else 120)
    monkeypatch.setattr(data_parallel, "WAIT_SECONDS", 0.1)
    monkeypatch.setattr(process, "_events", SimpleNamespace(put=said.append))
    monkeypatch.setattr(os, "_exit", end)
    killed = "SIGKILL" in says
    with (
        pytest.raises(Killed if killed else RuntimeError, match="1" if killed else re.escape(says)),
        training_ranks(starting, 2, "cpu", 1, tmp_path / "meeting"),
    ):
        pass
    assert said == ([{"message": says}] if killed else [])
    assert not torch.distributed.is_initialized()
    assert not list(tmp_path.iterdir())


def same(together: dict[str, Any], found: torch.Tensor, alone: dict[str, Any], expected: torch.Tensor) -> None:
    """Assert that several processes give the same result as one."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)
    np.testing.assert_allclose(together["losses"], alone["losses"], rtol=1e-4)
    assert together["model_calls"] == alone["model_calls"] > 0
    assert together["report"] == pytest.approx(alone["report"], rel=1e-9)
    assert together["guarantee"] == alone["guarantee"]


def test_the_shares_of_a_batch_add_up_to_it() -> None:
    for size in (1, 2, 3, 8):
        for count in (0, 1, 8, 15, 64):
            taken = [list(range(count))[Ranks(rank, size).share(count)] for rank in range(size)]
            assert [image for share in taken for image in share] == list(range(count))
            assert max(map(len, taken)) - min(map(len, taken)) <= 1
            draws = [list(range(3 * count))[Ranks(rank, size).share(3 * count, 3)] for rank in range(size)]
            assert [list(dict.fromkeys(row // 3 for row in share)) for share in draws] == taken
            assert [Ranks(rank, size).is_idle(3 * count, 3) for rank in range(size)] == [not t for t in taken]
    assert [Ranks(rank, 2).device("cuda") for rank in range(2)] == ["cuda:0", "cuda:1"]
    assert Ranks(0, 1).device("cuda") == "cuda"


def test_a_defense_whose_step_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    config = parse_config(small(execution={"processes": 2}, defenses=[{"name": "distill"}]))
    with pytest.raises(InputError, match="processes is 2, but a training step of distill cannot be shared"):
        check_everything(config, Layout(tmp_path))
    assert not list(tmp_path.iterdir())


def test_more_processes_than_images_of_a_batch_or_cores_or_one_gpu_for_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"batch_size is 16; it must not be below execution\.processes, 17"):
        check_everything(parse_config(small(execution={"processes": 17})), Layout(tmp_path))
    with pytest.raises(InputError, match=r"threads is 2 for each of 33 processes, but this machine has 64 cores"):
        check_everything(parse_config(small(execution={"processes": 33, "threads": 2})), Layout(tmp_path))
    with pytest.raises(InputError, match="each on its own gpu, device must be cuda"):
        parse_config(small(execution={"processes": 2, "device": "cuda:1"}))


def test_the_key_of_a_model_depends_on_the_number_of_processes() -> None:
    executions: list[dict[str, int]] = [{}, {"processes": 1}, {"processes": 2}]
    one, same, two = (make_plan(parse_config(small(execution=e))).cells[0].keys["train"] for e in executions)
    assert one == same != two
