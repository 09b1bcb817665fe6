"""Workers killed under their tasks: each is tried once more, the others go on, and the run ends with the same bytes."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from stress.benchmark import Running, differences, workplace
from stress.chain import ended_well
from stress.counts import Counts

# the stages whose first worker is killed, run by run; no task is hit twice
ROUNDS = (("reference", "train", "probe"), ("prepare", "measure"), ("sample", "attack"))


def run(seed: int, budget: float = 1.0) -> Counts:
    """Kill workers in every stage, and one task's two workers, which costs its cell and no other."""
    lost, failures = 0, []
    for number, stages in enumerate(ROUNDS[: max(1, round(len(ROUNDS) * budget))]):
        run, killed = _with_losses(f"lost-{number}", stages)
        lost += killed
        output, errors = run.said()
        told = output.count("died (SIGKILL); it is tried once more")
        if run.process.returncode != 0 or told != killed or errors:
            code = run.process.returncode
            failures.append(f"{killed} workers lost in {stages}: exit code {code}, {told} told, {errors[-500:]}")
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
    """A task whose worker dies both times: its cell fails, the others are finished, and a second run makes it."""
    run = Running(workplace() / "lost-twice")
    cell = None
    for attempt in (1, 2):
        if event := run.wait_for("train", attempt, cell):
            os.kill(event["process"], signal.SIGKILL)
            cell = event["cell"]
    code, (output, errors) = run.process.wait(), run.said()
    failures = []
    if code != 1 or f"{cell} failed: RuntimeError: its worker process died twice" not in output or errors:
        failures.append(f"two workers lost in training {cell}: exit code {code}, {output[-500:]} {errors[-500:]}")
    return failures + [f"after two workers lost: {what}" for what in ended_well(run.folder)]
