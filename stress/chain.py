"""One folder whose run is stopped once in every stage before it may end."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from stress.benchmark import Running, differences, finish, orphans, stages, undisturbed, workplace

BETWEEN = "between stages"  # for example while a worker starts


@dataclass
class Chain:
    """The stages in which one folder's run was stopped, and what went wrong."""

    stopped: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def stop_often(stops: int, chain: Callable[[int], Chain]) -> Chain:
    """Run chains, two at a time, until there are `stops` stops and one in every stage.

    After half as many stops again, it ends without a stop in every stage.
    """
    undisturbed()
    total, number = Chain(), 0
    with ThreadPoolExecutor(2) as pool:
        while total.stopped.total() < stops or (
            total.stopped.total() < 1.5 * stops and set(stages()) > set(total.stopped) - {BETWEEN}
        ):
            count = max(1, round((stops - total.stopped.total()) / len(stages())))
            for one in pool.map(chain, range(number, number + count)):
                total.stopped += one.stopped
                total.failures += one.failures
            number += count
            if number > 10 + stops:
                total.failures.append(f"{number} runs were stopped only {total.stopped.total()} times")
                break
    return total


def stop_in_every_stage(
    name: str, seed: int, number: int, signal_number: signal.Signals, check: Callable[[Running], list[str]]
) -> Chain:
    """Send a signal at a random moment of each stage in turn, or of a later one, then let the run end and compare it.

    Every other signal goes to the whole process group, as from a terminal; the rest go to the first process alone.
    check: what else must hold for a stopped run. A signal that comes after the run has ended does not count.
    """
    rng = random.Random(f"{name} {seed} {number}")
    folder, chain = workplace() / f"{name}-{number}", Chain()
    order = tuple(undisturbed().seconds)
    for index, stage in enumerate(order):
        run = Running(folder)
        if run.wait_for(*order[index:]) is not None:  # what was finished before the last stop does not begin again
            time.sleep(undisturbed().seconds[stage] * rng.random() ** 2)  # rather early, so that the stage still runs
        whole_group = (index + number) % 2 == 0
        if run.process.poll() is None:
            (os.killpg if whole_group else os.kill)(run.process.pid, signal_number)
        run.process.wait()
        under_way = run.under_way()
        where = f"{name} {number} (seed {seed}), stopped in {stage}"
        if run.is_done:
            continue
        chain.stopped[stage if stage in under_way else under_way[0] if under_way else BETWEEN] += 1
        chain.failures += [f"{where}: {what}" for what in check(run)]
        if left := orphans(run.process.pid):
            chain.failures.append(f"{where}: processes {left} are left")
    chain.failures += [f"{name} {number} (seed {seed}): {what}" for what in ended_well(folder)]
    return chain


def ended_well(folder: Path) -> list[str]:
    """Let the run in a folder end; what went wrong, or differs from the undisturbed run."""
    result = finish(folder)
    if result.returncode != 0:
        return [f"ended with {result.returncode}: {result.stdout[-300:]} {result.stderr[-300:]}"]
    return differences(folder)


def histogram(stopped: Counter[str]) -> str:
    """The number of stops in each stage, in the order of a run."""
    return "in " + ", ".join(f"{stage} {stopped[stage]}" for stage in (*stages(), BETWEEN))
