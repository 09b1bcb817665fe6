"""Two runs on one folder at once: one ends, the other is refused and names the first. A stale lock is taken over."""

from __future__ import annotations

import shutil
import socket

from stress.benchmark import Running, differences, finish, undisturbed, workplace
from stress.counts import Counts

PAIRS = 4


def run(seed: int, budget: float = 1.0) -> Counts:
    """A second run while the first works, pairs started at the same time, and locks of processes that have ended."""
    failures = _second_comer()
    pairs = max(1, round(PAIRS * budget))
    folder = workplace() / "pair"
    shutil.copytree(undisturbed().folder, folder)
    refused = 0
    for number in range(pairs):
        both = [Running(folder), Running(folder)]
        codes = [one.process.wait() for one in both]
        refused += codes.count(2)
        for one, other in (both, both[::-1]):
            named = f"is in use by process {other.process.pid} on {socket.gethostname()};" in one.said()[1]
            if one.process.returncode not in (0, 2) or (one.process.returncode == 2 and not named):
                failures.append(f"pair {number}: {codes}, {one.said()[1][-500:]!r}")
        failures += [] if 0 in codes else [f"pair {number}: {codes}"]
        failures += [f"pair {number}: {what}" for what in differences(folder)]
    for number, stale in enumerate((b"1", b"999999999", b"\xff\x00 nonsense", b"")):
        (folder / ".lock").write_bytes(stale)
        code = finish(folder).returncode
        failures += [] if code == 0 else [f"stale lock {number} ({stale!r}): exit code {code}"]
    tried = {"second runs refused": refused + 1, "pairs started at once": pairs, "stale locks taken over": 4}
    return Counts(tried, failures)


def _second_comer() -> list[str]:
    folder = workplace() / "second"
    first = Running(folder)
    first.wait_for("reference")
    with first.paused():
        second = finish(folder)
    named = f"is in use by process {first.process.pid} on {socket.gethostname()};" in second.stderr
    failures = [] if second.returncode == 2 and named else [f"second comer: {second.returncode} {second.stderr!r}"]
    code = first.process.wait()
    return failures + ([f"first comer: exit code {code}"] if code else differences(folder))
