"""The GPUs of this machine, and how they are shared out to workers."""

from __future__ import annotations

import os
from collections.abc import Sequence

from leakfront.errors import InputError
from leakfront.harness.machine.memory import cores
from leakfront.harness.settings.sections import Config, Execution

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def default_workers(config: Config) -> int:
    """How many workers fit this machine: on CPUs by cores, processes and threads; on GPUs one per share of GPUs."""
    execution = config.execution
    if execution.device != "cpu":
        return max(1, len(gpu_shares(execution)))
    return max(1, cores() // (execution.processes * execution.threads))


def check_device(execution: Execution) -> None:
    """Raise `InputError` if the config needs GPUs that this machine does not have."""
    device, processes = execution.device, execution.processes
    if device == "cpu":
        return
    found = _gpus()
    there = f"{found} CUDA device{'s' if found > 1 else ''} here" if found else "no CUDA device here"
    if int(device.partition(":")[2] or 0) >= found:
        allowed = "cpu" if not found else "cpu, cuda" + "".join(f", cuda:{number}" for number in range(found))
        raise InputError(f"execution.device is {device}, but torch finds {there}; it can be {allowed}")
    if processes > found:
        raise InputError(f"execution.processes is {processes}, but torch finds {there}; each process needs one")


def gpu_shares(execution: Execution) -> list[range]:
    """The GPUs of each worker, `execution.processes` of them; empty on CPUs, or if the config names one GPU."""
    size = execution.processes
    starts = range(0, _gpus() - size + 1, size) if execution.device == "cuda" else ()
    return [range(start, start + size) for start in starts]


def show_gpus(numbers: Sequence[int]) -> None:
    """Restrict this process to some GPUs; call it before CUDA is initialized.

    numbers: indices among the GPUs that the parent process sees. torch calls the first of them `cuda`, whichever it is,
    so no result and no key depends on the choice.
    """
    visible = os.environ.get(_VISIBLE)
    names = visible.split(",") if visible else None
    os.environ[_VISIBLE] = ",".join(names[number] if names else str(number) for number in numbers)


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
