"""The power fails at random moments of a run: what a disk may hold afterwards, finished to the same bytes.

The run is made in this process, on a disk that is simulated by `tests.power_loss`: of what was not synced, anything may
be lost.
"""

from __future__ import annotations

import os
import random
import shutil
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from leakfront.harness.execution.process import environment
from leakfront.harness.store.artifacts import read_manifest
from leakfront.harness.store.integrity import verify
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.temporaries import clear_temporaries
from stress.benchmark import CONFIG, undisturbed, workplace
from stress.chain import ended_well
from stress.counts import Counts
from tests.power_loss import Disk, keep_any, keep_least, keep_most, keep_names, write

LOSSES = 20
CALLS = 1400  # that a run makes, about: synced, renamed, made or removed files and folders
CHECKED = 20  # for each loss after which the run is finished, those after which its folder is only checked


def run(seed: int, budget: float = 1.0) -> Counts:
    """Lose power at random moments of a run, check what is left, and finish some of these runs."""
    undisturbed()
    losses = max(1, round(LOSSES * budget))
    folder, kept = workplace() / "power-loss" / "run", workplace() / "power-loss" / "left"
    folder.mkdir(parents=True)
    kept.mkdir()
    rng, checked = random.Random(f"power {seed}"), 0
    failures: list[str] = []

    def fail(disk: Disk) -> None:
        nonlocal checked
        if rng.random() > losses * CHECKED / CALLS:
            return
        checked += 1
        moment = len(disk.calls)
        way = rng.choice([keep_least, keep_names, keep_most, keep_any((seed, moment))])
        left = kept / str(moment)
        write(disk.after_power_loss(way), left)
        failures.extend(f"power loss (seed {seed}) at call {moment}: {what}" for what in _torn(left))
        if rng.random() > 1 / CHECKED:
            shutil.rmtree(left)

    disk = Disk(folder, fail)
    with disk.recording():
        _benchmark(folder)
    finished = sorted(kept.iterdir())
    with ThreadPoolExecutor(2) as pool:
        for left, found in zip(finished, pool.map(ended_well, finished), strict=True):
            failures += [f"power loss (seed {seed}) at call {left.name}: {what}" for what in found]
    tried = {"power losses survived": len(finished), "folders checked after others": checked - len(finished)}
    return Counts(tried, failures, [f"at random among {len(disk.calls)} calls that change what a disk holds"])


def _benchmark(folder: Path) -> None:
    """The benchmark in this process, in the way of one worker."""
    import torch

    from tests.in_process import run_here

    os.environ.update(environment(1))
    torch.set_num_threads(1)
    run_here(tomllib.loads(CONFIG), folder)


def _torn(folder: Path) -> list[str]:
    """What is there by half: only the tables beside an earlier run.json may be, which every reader notices."""
    clear_temporaries(folder)
    layout = Layout(folder)
    faults = [
        fault for fault in verify(layout, layout.cells, layout.models)[1] if "belong to run.json" not in fault.what
    ]
    unread = [] if read_manifest(folder) is not None or not (folder / "manifest.json").exists() else ["a torn seal"]
    return unread + [f"{fault.artifact}: {fault.what}" for fault in faults]
