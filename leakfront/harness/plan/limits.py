"""Limits on a config, of any machine or of this one, checked before anything is allocated or written."""

from __future__ import annotations

from collections.abc import Sequence

from leakfront.errors import InputError
from leakfront.harness.machine.memory import cores
from leakfront.harness.settings.sections import Config, Execution
from leakfront.memory import memory

MAX_MODELS = 10_000  # in one run; each has a folder with its weights, samples and scores
MAX_PLANTED = 1_000_000  # copies in total; altered ones are drawn one by one
MAX_NAME = 200  # bytes of a folder's name; file systems allow 255, and suffixes are appended
WEIGHTS_IN_TRAINING = 5  # float32 each: weights, gradients, the two moments of Adam, the average


def check_models(splits: int, points: int) -> None:
    """Raise `InputError` for more models than a run can have."""
    if splits * points > MAX_MODELS:
        raise InputError(
            f"splits is {splits} and defenses make {points} points, which is {splits * points:,} models; "
            f"a run has at most {MAX_MODELS:,}"
        )


def check_names(names: Sequence[str]) -> None:
    """Raise `InputError` for a name that is too long for a folder."""
    for name in names:
        if len(name.encode(errors="replace")) > MAX_NAME:
            raise InputError(
                f"{name[:40]!r}… is too long for a folder's name (at most {MAX_NAME} bytes); give a shorter `label`"
            )


def check_weights(smallest: int) -> None:
    """Raise `InputError` if a network of at least `smallest` parameters cannot be trained in this process's memory."""
    _require(smallest * 4 * WEIGHTS_IN_TRAINING, "model.channels and model.layers_per_block make a network that takes")


def check_gpu(need: int, device: str) -> None:
    """Raise `InputError` if the weights of an external model, `need` bytes, exceed the memory of the GPU `device`."""
    import torch

    if device == "cpu":
        return
    there = torch.cuda.get_device_properties(device).total_memory
    if need > there:
        raise InputError(
            f"the weights of the model take {need / 2**30:,.1f} GiB, but {device} has {there / 2**30:,.1f} GiB; use "
            "model.dtype = 'bfloat16' (--dtype) or model.offload = true (--offload)"
        )


def check_data(config: Config, image: int) -> None:
    """Raise `InputError` if the images alone, of `image` bytes each, exceed the memory that this process may use."""
    planted = config.data.duplicates
    copies = list(planted.copies) if isinstance(planted.copies, tuple) else planted.copies
    if planted.images > MAX_PLANTED:
        raise InputError(
            f"data.duplicates has groups = {planted.groups} and copies = {copies}, which is "
            f"{planted.images:,} images; at most {MAX_PLANTED:,} are planted"
        )
    _require(planted.images * image, f"data.duplicates.copies = {copies} takes")
    _require(config.sampling.images * image, f"sampling.images = {config.sampling.images} takes")
    in_batch = 4 * image  # float32
    _require(config.training.batch_size * in_batch, f"training.batch_size = {config.training.batch_size} takes")


def check_threads(execution: Execution) -> None:
    """Raise `InputError` if the processes of one training have more threads in total than this machine has cores."""
    threads, processes = execution.threads, execution.processes
    if threads * processes > cores():
        what = f"execution.threads is {threads}" + (f" for each of {processes} processes" if processes > 1 else "")
        raise InputError(f"{what}, but this machine has {cores()} cores; it must not be more")


def _require(need: int, what: str) -> None:
    if need > memory():
        raise InputError(
            f"{what} at least {need / 2**30:,.1f} GiB, but this process may use {memory() / 2**30:,.1f} GiB; lower it"
        )
