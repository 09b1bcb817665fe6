"""Ctrl-C in every stage of a run: exit code 130, one line, no process left, and the run resumes to the same bytes."""

from __future__ import annotations

import signal

from leakfront.harness.store.integrity import verify
from leakfront.harness.store.layout import Layout
from stress.benchmark import Running
from stress.chain import Chain, histogram, stop_in_every_stage, stop_often
from stress.counts import Counts

INTERRUPTS = 20


def run(seed: int, budget: float = 1.0) -> Counts:
    """Interrupt runs at random moments of all stages, by a signal to all processes or to the first alone."""

    def chain(number: int) -> Chain:
        return stop_in_every_stage("interrupts", seed, number, signal.SIGINT, _said_one_line)

    total = stop_often(max(1, round(INTERRUPTS * budget)), chain)
    return Counts({"interrupts survived": total.stopped.total()}, total.failures, [histogram(total.stopped)])


def _said_one_line(run: Running) -> list[str]:
    _, errors = run.said()
    one_line = len(errors.strip().splitlines()) == 1 and "resumes from there" in errors
    found = [] if run.process.returncode == 130 else [f"exit code {run.process.returncode}"]
    found += [] if one_line else [f"said {errors[-500:]!r}"]
    layout = Layout(run.folder)
    return found + [f"{fault.artifact}: {fault.what}" for fault in verify(layout, layout.cells, layout.models)[1]]
