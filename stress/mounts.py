"""Small or read-only file systems for one test, in a mount namespace that ends with the test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path

from stress.benchmark import UNDISTURBED, undisturbed
from stress.counts import Counts


@cache
def namespace() -> list[str] | None:
    """The command that runs another in a mount namespace of its own; None where that is forbidden."""
    for tried in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        try:
            mounting = [*tried, "mount", "-t", "tmpfs", "none", "/mnt"]
            if subprocess.run(mounting, capture_output=True, check=False).returncode == 0:
                return tried
        except FileNotFoundError:
            return None
    return None


def inside(module: str, seed: int, budget: float) -> Counts | None:
    """The counts of `python -m MODULE SEED BUDGET` in a namespace of its own; None where that is forbidden."""
    if (prefix := namespace()) is None:
        return None
    line = [*prefix, sys.executable, "-m", module, str(seed), str(budget)]
    environment = {**os.environ, UNDISTURBED: str(undisturbed().folder)}
    result = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
    if result.returncode != 0:
        return Counts({}, [f"{module} ended with {result.returncode}: {result.stderr[-500:]}"])
    return Counts(**json.loads(result.stdout.splitlines()[-1]))


def tell(counts: Counts) -> None:
    """Print counts for `inside` to read."""
    print(json.dumps(asdict(counts)))


def mount_small(folder: Path, size: int) -> None:
    """A file system of `size` bytes at `folder`."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    """Change a file system: "size=…", "ro", "rw"; to "ro" only while nobody writes to it."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def cover(folder: Path) -> None:
    """Make a folder read-only while others write to it, by a bind mount onto itself; `unmount` undoes it."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    remount(folder, "ro,bind")


def unmount(folder: Path) -> None:
    """Unmount a file system."""
    subprocess.run(["umount", str(folder)], check=True)


def size_of(folder: Path) -> int:
    """The memory that a folder's files take, in bytes: whole pages of 4 KiB."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())
