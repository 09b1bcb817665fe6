"""Where a result comes from: versions, git state, machine, threads."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from leakfront import version as package
from leakfront.harness.machine.memory import cores
from leakfront.memory import memory

PACKAGES = (
    "torch", "torchvision", "diffusers", "opacus", "torch-fidelity", "scikit-learn", "scipy", "numpy", "pandas",
    "faiss-cpu", "Pillow",
)  # fmt: skip


def made_by(threads: int, device: str = "cpu") -> dict[str, Any]:
    """How a process with this number of threads makes an artifact on a device: versions, commit, machine, threads.

    Machine: processor, cores, memory, system, the instruction set that torch uses, and the GPU if it is on one.
    """
    import torch

    state = git_state()
    on = {"gpu": torch.cuda.get_device_name(device)} if device.startswith("cuda") else {}
    return {
        "versions": versions(),
        "commit": state["commit"] + (" with uncommitted changes" if state["dirty"] else ""),
        "machine": {**machine(), "instruction_set": torch.backends.cpu.get_cpu_capability(), **on},
        "threads": threads,
    }


@cache
def versions() -> dict[str, str]:
    """Versions of this package, of Python and of the libraries that affect results."""
    found = {"leakfront": package.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


@cache
def git_state() -> dict[str, Any]:
    """The commit, and whether the working tree differs from it; outside a git checkout the commit is empty."""
    folder = package.PACKAGE.parent
    if not (folder / ".git").exists():
        return {"commit": "", "dirty": False}
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "", "dirty": False}


def machine() -> dict[str, Any]:
    """Processor, cores, memory and system; nothing that identifies the machine or its owner."""
    return {
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory_gib": round(memory() / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()
