"""The GPUs of this machine, and how workers are spread over them."""

from __future__ import annotations

import os

from leakfront.config import Config
from leakfront.errors import InputError
from leakfront.limits import cores

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def default_workers(config: Config) -> int:
    """As many worker processes as the cores carry, with the config's threads each; on GPUs one for each."""
    if config.execution.device != "cpu":
        return max(1, shared_gpus(config.execution.device))
    return max(1, cores() // config.execution.threads)


def check_device(device: str) -> None:
    """Raise `InputError` for a GPU that is not there."""
    if device == "cpu":
        return
    found, wanted = _gpus(), int(device.partition(":")[2] or 0)
    if wanted >= found:
        there = f"{found} CUDA device{'s' if found > 1 else ''} here" if found else "no CUDA device here"
        right = "cpu" if not found else "cpu, cuda" + "".join(f", cuda:{number}" for number in range(found))
        raise InputError(f"execution.device is {device}, but torch finds {there}; it can be {right}")


def shared_gpus(device: str) -> int:
    """How many GPUs the workers of a run on this device share out: all for "cuda"; 0 for one that is named, or none."""
    return _gpus() if device == "cuda" else 0


def show_gpu(number: int) -> None:
    """Let this process see one GPU only, the `number`-th of those that its parent sees; call it before CUDA starts.

    To torch it is `cuda`, whichever it is, so that nothing which is computed or keyed knows the difference.
    """
    visible = os.environ.get(_VISIBLE)
    os.environ[_VISIBLE] = visible.split(",")[number] if visible else str(number)


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
