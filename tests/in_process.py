"""Run tasks in the process of the test instead of worker processes, so that calls can be counted and patched."""

from __future__ import annotations

import io
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from leakfront.cli import main
from leakfront.harness.checks import check_everything
from leakfront.harness.execution import process, schedule
from leakfront.harness.execution.process import Task
from leakfront.harness.execution.tasks import run_task
from leakfront.harness.execution.workers import Outcome
from leakfront.harness.run import Outcome as RunOutcome
from leakfront.harness.run import run
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages import POOL
from leakfront.harness.stages.stage import Work, perform
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.run_folder import write_config
from leakfront.harness.store.secret import make_secret


class Here:
    """Replaces `Workers`. done: the tasks of all instances, in order."""

    done: list[Task]

    def __init__(self, *_: Any) -> None:
        self._tasks: list[Task] = []

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, task: Task) -> None:
        self._tasks.append(task)

    def outcomes(self) -> Iterator[Outcome]:
        while self._tasks:
            task = self._tasks.pop(0)
            self.done.append(task)
            run_task(task)
            yield Outcome(task)


@contextmanager
def in_process() -> Iterator[list[Task]]:
    """In the block, runs do all tasks in this process; yields the list of tasks done."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Here, "done", [], raising=False)
        patch.setattr(schedule, "Workers", Here)
        patch.setattr(process, "_events", queue.SimpleQueue())
        patch.setattr(process, "_plans", {})
        yield Here.done


def command_here(*arguments: str | Path, report: bool = True) -> Result:
    """`leakfront` with arguments, in this process; without a report, `leakfront run` ends before it would draw one."""
    with in_process(), without_report(not report):
        return CliRunner().invoke(main, list(map(str, arguments)))


@contextmanager
def without_report(wanted: bool = True) -> Iterator[None]:
    """In the block, runs draw no report; wanted: whether that is so."""
    with pytest.MonkeyPatch.context() as patch:
        if wanted:
            patch.setattr("leakfront.harness.report.draw_report", lambda runs, folder, *_, **__: folder / "index.html")
        yield


def train_here(settings: dict[str, Any], folder: Path) -> None:
    """Train the models of a run in this process, and no more: nothing is sampled, attacked or measured."""
    config, layout = parse_config(settings), Layout(folder)
    plan, pool = check_everything(config, layout)
    folder.mkdir(exist_ok=True)
    write_config(layout, config, {})
    make_secret(layout, config.privacy_seed)
    perform(POOL, Work(plan=plan, layout=layout, pool=pool), plan.keys["pool"])
    with in_process():
        for cell in plan.by_name:
            for stage in ("prepare", "train"):
                run_task(Task(stage, folder, config.model_dump_json(), cell))


def run_here(settings: dict[str, Any], folder: Path, report: bool = True) -> tuple[RunOutcome, str]:
    """A whole run in this process: its outcome, and all that it printed. report: whether to draw its report."""
    out = io.StringIO()
    with in_process(), without_report(not report):
        outcome = run(parse_config(settings), Layout(folder), 1, Console(file=out, width=200))
    return outcome, out.getvalue()
