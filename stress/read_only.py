"""A read-only folder: one sentence, no change, and the run resumes once the folder is writable."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from stress.benchmark import Running, command, leakfront, undisturbed, workplace
from stress.chain import ended_well
from stress.counts import Counts
from stress.mounts import cover, inside, mount_small, remount, tell, unmount


def run(seed: int, budget: float = 1.0) -> Counts:
    """A folder that is read-only from the start, or turns so during a run; without mounting, by the folder's mode."""
    counts = inside("stress.read_only", seed, budget)
    if counts is not None:
        return counts
    note = "mounting is not permitted here: the folder's mode made it read-only, and no run lost it half-way"
    if os.geteuid() == 0:
        return Counts({"read-only folders survived": 0}, ["root may write everywhere, and mounting is not permitted"])
    folder = workplace() / "mode"
    folder.mkdir()
    shutil.copytree(undisturbed().folder, folder / "run")
    for path in (folder, folder / "run"):
        path.chmod(0o555)
    failures = _refused(folder)
    for path in (folder, folder / "run"):
        path.chmod(0o755)
    return Counts({"read-only folders survived": 2}, failures + ended_well(folder / "run"), [note])


def mounted() -> Counts:
    """A read-only file system with a finished run, and one that turns read-only during training."""
    folder = workplace() / "mounted"
    mount_small(folder, 256 * 2**20)
    shutil.copytree(undisturbed().folder, folder / "run")
    remount(folder, "ro")
    failures = _refused(folder)
    remount(folder, "rw")
    failures += ended_well(folder / "run")
    under_way = Running(folder / "lost")
    under_way.wait_for("train")
    cover(folder / "lost")
    code, errors = under_way.process.wait(), under_way.said()[1]
    if code != 1 or len(errors.strip().splitlines()) != 1 or not errors.startswith("error: Read-only file system"):
        failures.append(f"read-only in training: exit code {code}, {errors[-500:]!r}")
    unmount(folder / "lost")
    failures += ended_well(folder / "lost")
    unmount(folder)
    return Counts({"read-only folders survived": 3}, failures, ["read-only mounts in a mount namespace"])


def _refused(folder: Path) -> list[str]:
    """What goes wrong in a read-only folder that holds a finished run."""
    failures = []
    for out in (folder / "new", folder / "run"):
        result = subprocess.run(command(out), capture_output=True, text=True, check=False)
        lines = result.stderr.strip().splitlines()
        if result.returncode != 2 or len(lines) != 1 or "cannot be written to" not in lines[0]:
            failures.append(f"a run in the read-only {out.name}: {result.returncode} {result.stderr[-500:]!r}")
    for reading in ("show", "verify"):
        if (result := leakfront(reading, folder / "run")).returncode != 0:
            failures.append(f"leakfront {reading} on a read-only run: {result.stderr[-500:]!r}")
    return failures


if __name__ == "__main__":
    tell(mounted())
