"""If a worker dies, its task is tried once more and the others are not affected; workers share the GPUs."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from leakfront.errors import InputError, StageError
from leakfront.harness.execution.devices import check_device, default_workers, gpu_shares, show_gpus
from leakfront.harness.execution.process import Task
from leakfront.harness.execution.progress import RunProgress
from leakfront.harness.execution.schedule import Schedule
from leakfront.harness.execution.workers import Outcome, Workers
from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.plan import Plan
from leakfront.harness.settings.sections import Execution, parse_config
from leakfront.harness.store.layout import Layout
from tests.forked import quick_starts
from tests.small_config import small


def work(task: Task) -> Any:
    """Do what the name of the task's cell says. Every attempt adds a line to a file of that name."""
    with (task.root / task.cell).open("a") as file:
        file.write("begun\n")
    attempts = (task.root / task.cell).read_text().count("begun")
    if task.cell == "dies" or (task.cell == "dies once" and attempts == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if task.cell == "raises":
        raise ValueError("of the task")
    if task.cell == "slow":
        until = time.monotonic() + 60
        while time.monotonic() < until and not (task.root / "last").exists():
            time.sleep(0.01)
    if task.cell.startswith("gpu"):
        while len(list(task.root.glob("gpu*"))) < 3:  # so that each of them is on a worker of its own
            time.sleep(0.01)
        return os.environ["CUDA_VISIBLE_DEVICES"]
    return f"{task.cell} is done"


def outcomes(root: Path, cells: list[str], count: int, **more: Any) -> tuple[dict[str, Outcome], list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    with Workers(count, 1, events.append, work, **more) as workers:
        for cell in cells:
            workers.submit(Task("train", root, "", cell))
        return {outcome.task.cell: outcome for outcome in workers.outcomes()}, events


def test_a_worker_that_dies_costs_its_task_one_retry_and_the_others_nothing(tmp_path: Path) -> None:
    cells = ["slow", "dies once", "dies", "raises", "last"]
    with quick_starts():
        ended, events = outcomes(tmp_path, cells, count=2)
    attempts = {cell: (tmp_path / cell).read_text().count("begun") for cell in cells}
    assert attempts == {"slow": 1, "dies once": 2, "dies": 2, "raises": 1, "last": 1}
    for cell in ("slow", "dies once", "last"):
        assert (ended[cell].result, ended[cell].error) == (f"{cell} is done", None)
    assert str(ended["dies"].error) == "its worker process died twice (the last time by SIGKILL)"
    assert isinstance(ended["raises"].error, ValueError)
    assert "in work" in str(ended["raises"].error.__cause__)  # the traceback, from the other process
    assert [event["message"] for event in events] == [
        f"  the worker process of {cell}: train died (SIGKILL); it is tried once more" for cell in ("dies once", "dies")
    ]


def test_each_worker_sees_its_own_gpu_while_there_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    with quick_starts():
        ended, _ = outcomes(tmp_path, ["gpu a", "gpu b", "gpu c"], count=3, gpus=[[0], [1]])
    assert sorted(outcome.result for outcome in ended.values()) == ["5", "5", "7"]


def test_gpus_are_chosen_among_the_visible_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7,9")
    show_gpus(range(1, 3))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "7,9"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    show_gpus([1])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"


@pytest.mark.parametrize(
    ("device", "processes", "workers", "shares"),
    [
        ("cuda", 1, 5, [[0], [1], [2], [3], [4]]),
        ("cuda", 2, 2, [[0, 1], [2, 3]]),
        ("cuda", 5, 1, [[0, 1, 2, 3, 4]]),
        ("cuda:2", 1, 1, []),
    ],
)
def test_there_is_one_worker_for_each_share_of_gpus(
    device: str, processes: int, workers: int, shares: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 5)
    config = parse_config(small(execution={"device": device, "processes": processes}))
    check_device(config.execution)
    assert default_workers(config) == workers
    assert [list(share) for share in gpu_shares(config.execution)] == shares


def test_a_missing_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match=r"no CUDA device here; it can be cpu$"):
        check_device(Execution(device="cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match=r"finds 2 CUDA devices here; it can be cpu, cuda, cuda:0, cuda:1$"):
        check_device(Execution(device="cuda:2"))
    with pytest.raises(InputError, match=r"processes is 3, but torch finds 2 CUDA devices here; each"):
        check_device(Execution(device="cuda", processes=3))
    check_device(Execution(processes=3))


def test_the_key_of_a_model_does_not_depend_on_the_choice_of_gpu() -> None:
    def key(device: str) -> str:
        return make_plan(parse_config(small(execution__device=device))).cells[0].keys["train"]

    assert key("cuda") == key("cuda:0") == key("cuda:3") != key("cpu")


def test_a_failed_stage_of_the_whole_run_ends_it_with_one_sentence(tmp_path: Path) -> None:
    """For example the extractor, if its worker dies twice: no cell can be measured without it."""
    progress = RunProgress({}, tmp_path / "log.jsonl", Console(quiet=True))
    plan = make_plan(parse_config(small()))
    lost = RuntimeError("its worker process died twice (the last time by SIGKILL)")
    with pytest.raises(StageError, match="the extractor stage failed: RuntimeError: its worker process died twice"):
        started(plan, tmp_path).take_note(Outcome(Task("extractor", tmp_path, ""), error=lost), progress)
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space left on device"):
        started(plan, tmp_path).take_note(Outcome(Task("prepare", tmp_path, "", "none-split0"), error=full), progress)
    schedule = started(plan, tmp_path)
    schedule.take_note(Outcome(Task("prepare", tmp_path, "", "none-split0"), error=lost), progress)
    assert list(schedule.failed) == ["none-split0"]


def started(plan: Plan, root: Path) -> Schedule:
    """The schedule of a run whose first tasks have started."""
    schedule = Schedule(plan, Layout(root))
    assert {task.stage for task in schedule.ready()} == {"extractor", "prepare"}
    return schedule
