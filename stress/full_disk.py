"""A disk that fills up during a run: one sentence, exit code 1, and the run resumes once there is room."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
from functools import partial

from stress.benchmark import command, undisturbed, workplace
from stress.chain import ended_well
from stress.counts import Counts
from stress.mounts import inside, mount_small, remount, size_of, tell, unmount

DISKS = 5


def run(seed: int, budget: float = 1.0) -> Counts:
    """Run on disks of random sizes; where mounting is forbidden, under a limit on the size of a file instead."""
    counts = inside("stress.full_disk", seed, budget)
    return counts if counts is not None else limited(seed, budget)


def filled(seed: int, budget: float) -> Counts:
    """Run on small file systems, in a mount namespace."""
    whole, failures = size_of(undisturbed().folder), []
    count = max(1, round(DISKS * budget))
    for number in range(count):
        share = (number + random.Random(f"disk {seed} {number}").random()) / (count + 0.2)
        folder = workplace() / f"disk-{number}"
        mount_small(folder, int(share * whole) + 4096)
        result = subprocess.run(command(folder / "run"), capture_output=True, text=True, check=False)
        found = [] if _said(result, "No space left on device") else [f"{result.returncode} {result.stderr[-500:]!r}"]
        remount(folder, "size=256m")
        found += ended_well(folder / "run")
        unmount(folder)
        failures += [f"disk {number} (seed {seed}), {share:.0%} of the room needed: {what}" for what in found]
    return Counts({"full disks survived": count}, failures, ["small file systems in a mount namespace"])


def limited(seed: int, budget: float) -> Counts:
    """Run where no file may grow beyond a limit."""
    files = sorted(p.stat().st_size for p in undisturbed().folder.rglob("*") if p.is_file() and p.suffix != ".jsonl")
    failures, count = [], max(1, round(DISKS * budget))
    for number in range(count):
        limit = random.Random(f"limit {seed} {number}").choice(files[len(files) // 2 : -1])
        folder = workplace() / f"limit-{number}"
        smaller = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
        result = subprocess.run(command(folder), capture_output=True, text=True, check=False, preexec_fn=smaller)
        found = [] if _said(result, "File too large") else [f"{result.returncode} {result.stderr[-500:]!r}"]
        found += ended_well(folder)
        failures += [f"limit {number} (seed {seed}), files of {limit} bytes: {what}" for what in found]
    note = "mounting is not permitted here: a limit on file sizes (RLIMIT_FSIZE) stood in for a full disk"
    return Counts({"full disks survived": count}, failures, [note])


def _said(result: subprocess.CompletedProcess[str], what: str) -> bool:
    lines = result.stderr.strip().splitlines()
    return result.returncode == 1 and len(lines) == 1 and lines[0].startswith(f"error: {what}")


if __name__ == "__main__":
    tell(filled(int(sys.argv[1]), float(sys.argv[2])))
