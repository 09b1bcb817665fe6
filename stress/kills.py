"""SIGKILL in every stage of a run; the run resumes to the same bytes."""

from __future__ import annotations

import signal

from stress.benchmark import Running
from stress.chain import Chain, histogram, stop_in_every_stage, stop_often
from stress.counts import Counts

KILLS = 50


def run(seed: int, budget: float = 1.0) -> Counts:
    """Kill runs at random moments of all stages, with or without their workers."""

    def chain(number: int) -> Chain:
        return stop_in_every_stage("kills", seed, number, signal.SIGKILL, _was_killed)

    total = stop_often(max(1, round(KILLS * budget)), chain)
    return Counts({"kills survived": total.stopped.total()}, total.failures, [histogram(total.stopped)])


def _was_killed(run: Running) -> list[str]:
    code = run.process.returncode
    return [] if code == -signal.SIGKILL else [f"exit code {code}: {run.said()[1][-300:]}"]
