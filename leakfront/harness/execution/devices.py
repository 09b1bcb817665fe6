"""The GPUs of this machine, and how workers are spread over them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from leakfront.errors import InputError
from leakfront.harness.machine.memory import cores
from leakfront.harness.settings.sections import Config, Execution

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def default_workers(config: Config) -> int:
    """As many workers as the cores carry, with the config's processes and threads each; on GPUs one for each share."""
    execution = config.execution
    if execution.device != "cpu":
        return max(1, len(gpu_shares(execution)))
    return max(1, cores() // (execution.processes * execution.threads))


def check_device(execution: Execution) -> None:
    """Raise `InputError` for GPUs that are not there."""
    device, processes = execution.device, execution.processes
    if device == "cpu":
        return
    found = _gpus()
    there = f"{found} CUDA device{'s' if found > 1 else ''} here" if found else "no CUDA device here"
    if int(device.partition(":")[2] or 0) >= found:
        right = "cpu" if not found else "cpu, cuda" + "".join(f", cuda:{number}" for number in range(found))
        raise InputError(f"execution.device is {device}, but torch finds {there}; it can be {right}")
    if processes > found:
        raise InputError(f"execution.processes is {processes}, but torch finds {there}; each process needs one")


def gpu_shares(execution: Execution) -> list[range]:
    """The GPUs of each worker in turn, as many as train a model together; none where one is named, or on CPUs."""
    size = execution.processes
    starts = range(0, _gpus() - size + 1, size) if execution.device == "cuda" else ()
    return [range(start, start + size) for start in starts]


def show_gpus(numbers: Sequence[int]) -> None:
    """Let this process see these GPUs only, by their numbers among those that its parent sees; call it before CUDA
    starts.

    To torch the first is `cuda`, whichever it is, so that nothing which is computed or keyed knows the difference.
    """
    visible = os.environ.get(_VISIBLE)
    names = visible.split(",") if visible else None
    os.environ[_VISIBLE] = ",".join(names[number] if names else str(number) for number in numbers)


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
