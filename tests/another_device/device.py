"""A device that is not the CPU, without one: real CPU tensors in wrappers that say that they lie elsewhere.

PyTorch's rules for a GPU are kept: an operation takes tensors of one device (plain numbers and CPU indices aside), a
generator belongs to its device, and NumPy sees nothing of such a tensor. So code that leaves a tensor on the wrong
device fails here as it would there. Streams, kernels and precision are not those of a GPU.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "elsewhere"
_COPIES = {"aten._to_copy", "aten.copy_", "aten._copy_from", "aten._local_scalar_dense"}
_INDEXED = {"aten.index", "aten.index_put_", "aten.index_put", "aten._index_put_impl_"}  # take indices on the CPU


class Elsewhere(torch.Tensor):
    """A tensor on the device, with its values in `held`."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, real: torch.Tensor) -> Elsewhere:
        found = torch.Tensor._make_wrapper_subclass(
            cls, real.size(), strides=real.stride(), storage_offset=real.storage_offset(), dtype=real.dtype,
            device=torch.device(NAME, 0), requires_grad=False,
        )  # fmt: skip
        found.held = real
        return found

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def __repr__(self, **_: Any) -> str:
        return f"Elsewhere({self.held!r})"


class WrongDevice(RuntimeError):
    """What a GPU would refuse."""


_generators: weakref.WeakSet[torch.Generator] = weakref.WeakSet()


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    there: list[Elsewhere] = []
    here: list[torch.Tensor] = []
    _sort((args, kwargs), there, here)
    device = kwargs.get("device")
    goes_there = device is not None and _is_there(device)
    if not there and not goes_there:
        return func(*args, **kwargs)
    name, aliases = _known(func)
    if there and any(tensor.ndim for tensor in here) and name not in _COPIES:
        of_indices = (
            name in _INDEXED
            and isinstance(args[0], Elsewhere)
            and all(
                not isinstance(tensor, torch.Tensor) or isinstance(tensor, Elsewhere) for tensor in (args[0], *args[2:])
            )
        )
        if not of_indices:
            devices = sorted({str(tensor.device) for tensor in (*there, *here)})
            raise WrongDevice(f"{func} takes tensors of one device, but got {devices}")
    if name in _INDEXED and not isinstance(args[0], Elsewhere) and there:
        raise WrongDevice(f"{func}: indices of a CPU tensor lie elsewhere")
    real_args, real_kwargs = _real(args), _real(kwargs)
    if goes_there:
        real_kwargs = {**real_kwargs, "device": torch.device("cpu")}
        if name == "aten._to_copy" and not there:
            # a copy, as to any other device
            out = func(*real_args, **real_kwargs).clone()
            return Elsewhere(out)
    out = func(*real_args, **real_kwargs)
    if name == "aten.copy_":
        return args[0] if out is real_args[0] else out
    if name == "aten._local_scalar_dense" or (device is not None and not goes_there):
        return out
    wrapped = tree_map_only(torch.Tensor, Elsewhere, out) if not isinstance(out, torch.Tensor) else Elsewhere(out)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if aliases else wrapped


@cache
def _known(func: Any) -> tuple[str, bool]:
    """The name of an operation without its overload, and whether what it returns may be one of its inputs or a view."""
    name = f"{func.namespace}.{func._schema.name.partition('::')[2]}"
    return name, any(returned.alias_info is not None for returned in func._schema.returns)


def _sort(arguments: Any, there: list[Elsewhere], here: list[torch.Tensor]) -> None:
    """Append the tensors among arguments to one of both lists. It is asked of every operation, and so by hand."""
    for each in arguments.values() if isinstance(arguments, dict) else arguments:
        if isinstance(each, Elsewhere):
            there.append(each)
        elif isinstance(each, torch.Tensor):
            here.append(each)
        elif isinstance(each, list | tuple | dict):
            _sort(each, there, here)


def _real(argument: Any) -> Any:
    """The argument with the values of the tensors that lie elsewhere."""
    if isinstance(argument, Elsewhere):
        return argument.held
    if type(argument) is dict:
        return {name: _real(each) for name, each in argument.items()}
    return type(argument)(map(_real, argument)) if type(argument) in (list, tuple) else argument


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Calls(TorchFunctionMode):
    """Sees calls before the dispatcher, which makes new objects of generators and is blind to `torch.tensor`."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        device = kwargs.get("device")
        if func is torch.Tensor.new_tensor and device is None:
            device = args[0].device
        there = _is_there(device) if device is not None else any(isinstance(a, Elsewhere) for a in args)
        generator = kwargs.get("generator")
        if generator is not None and (generator in _generators) != there:
            raise WrongDevice(f"{func}: the generator belongs to another device")
        if func in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor) and there:
            values = args[1:] if func is torch.Tensor.new_tensor else args
            made: Any = torch.as_tensor if func is torch.as_tensor else torch.tensor
            return made(*values, **{**kwargs, "device": None}).to(device)
        return func(*args, **kwargs)


def _is_there(device: Any) -> bool:
    return torch.device(device).type == NAME


class _KindOfGenerator(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _CPUGenerator)


_CPUGenerator = torch.Generator


class _Generator(metaclass=_KindOfGenerator):
    """Stands in for `torch.Generator`; makes CPU generators, and remembers which of them belong to the device."""

    def __new__(cls, device: Any = "cpu") -> Any:
        made = _CPUGenerator()
        if _is_there(device):
            _generators.add(made)
        return made


_registered = False


@contextmanager
def another_device() -> Iterator[str]:
    """In the block, tensors can lie on the device whose name it yields: "cuda" if LEAKFRONT_TEST_DEVICE says so."""
    global _registered
    if os.environ.get("LEAKFRONT_TEST_DEVICE") == "cuda":
        with torch.backends.cudnn.flags(allow_tf32=False):
            yield "cuda"
        return
    if not _registered:
        _setup_privateuseone_for_python_backend(NAME)
        _registered = True
    # a thread of its own for the device would outlive the interpreter
    with pytest.MonkeyPatch.context() as patch, torch.autograd.set_multithreading_enabled(False), _Mode(), _Calls():
        patch.setattr(torch, "Generator", _Generator)
        yield NAME
