"""Killed workers: each task is tried once more, the others continue, and the run ends with the same bytes."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from stress.benchmark import Running, differences, workplace
from stress.chain import ended_well
from stress.counts import Counts

# for each run, the stages whose first worker is killed; no task is hit twice
ROUNDS = (("extractor", "train", "probe"), ("reference", "prepare", "measure"), ("sample", "features", "attack"))


def run(seed: int, budget: float = 1.0) -> Counts:
    """Kill workers in every stage, and both workers of one task, whose cell alone then fails."""
    lost, failures = 0, []
    for number, stages in enumerate(ROUNDS[: max(1, round(len(ROUNDS) * budget))]):
        run, killed = _with_losses(f"lost-{number}", stages)
        lost += killed
        output, errors = run.said()
        reported = output.count("died (SIGKILL); it is tried once more")
        if run.process.returncode != 0 or reported != killed or errors:
            code = run.process.returncode
            said = f"exit code {code}, {reported} reported, {errors[-500:]}"
            failures.append(f"{killed} workers lost in {stages}: {said}")
        else:
            failures += [f"workers lost in {stages}: {what}" for what in differences(run.folder)]
    if budget >= 1:
        lost += 2
        failures += _twice()
    return Counts({"lost workers survived": lost}, failures)


def _with_losses(name: str, stages: Sequence[str]) -> tuple[Running, int]:
    run, killed = Running(workplace() / name), 0
    cells: set[str] = set()
    for stage in stages:
        event = run.wait_for(stage)
        if event is not None and event["cell"] not in cells:
            os.kill(event["process"], signal.SIGKILL)
            cells.add(event["cell"])
            killed += 1
    run.process.wait()
    return run, killed


def _twice() -> list[str]:
    """A task whose worker dies twice: its cell fails, the others finish, and a second run makes the cell."""
    run = Running(workplace() / "lost-twice")
    cell = None
    for attempt in (1, 2):
        if event := run.wait_for("train", times=attempt, cell=cell):
            os.kill(event["process"], signal.SIGKILL)
            cell = event["cell"]
    code, (output, errors) = run.process.wait(), run.said()
    failures = []
    if code != 1 or f"{cell} failed: RuntimeError: its worker process died twice" not in output or errors:
        failures.append(f"two workers lost in training {cell}: exit code {code}, {output[-500:]} {errors[-500:]}")
    return failures + [f"after two workers lost: {what}" for what in ended_well(run.folder)]
