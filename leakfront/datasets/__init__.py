"""The data sets that a pool can be drawn from; one file is one data set."""

import os
from dataclasses import fields
from pathlib import Path

from leakfront.datasets.contract import DECOY, MEMBER, OUTSIDE, Dataset, LabelledImages, user_path
from leakfront.errors import InputError
from leakfront.registry import Registry, build

registry = Registry(
    "dataset", "leakfront.datasets", "leakfront.datasets", not_plugins={"contract", "through_torchvision"}
)
register = registry.register

__all__ = [
    "DECOY", "MEMBER", "OUTSIDE", "Dataset", "LabelledImages", "open_dataset", "register", "registry", "user_path",
]  # fmt: skip


def open_dataset(spec: str, **params: object) -> Dataset:
    """The data set that `spec` names, with its parameters set. Nothing is read yet.

    spec: a registered name ("digits"), or one with a path ("folder:PATH", "npz:PATH"). params: its other parameters.
    Raises `InputError` for an unknown name or parameter, a path that is missing or not wanted, and refused values.
    """
    name, colon, path = spec.partition(":")
    if "\0" in spec:
        raise InputError(f"dataset {spec!r} has a null character, which no path can have")
    if name not in registry.names() and os.path.exists(spec):  # noqa: PTH110 (False for what cannot be a path)
        kind = "folder" if Path(spec).is_dir() else "npz"
        raise InputError(f"unknown dataset {spec!r}: to read a {kind} write {kind + ':' + spec!r}")
    takes_path = any(parameter.name == "path" for parameter in fields(registry.get(name)))
    if colon and not takes_path:
        raise InputError(f"dataset {name!r} takes no path, so write {name!r} instead of {spec!r}")
    if colon and "path" in params:
        raise InputError(f"dataset {spec!r} has a path already, so leave out path = {params['path']!r}")
    if colon:
        params["path"] = path
    if takes_path and not params.get("path"):
        raise InputError(f"dataset {spec!r} needs a path: write {name}:PATH")
    opened: Dataset = build(registry, name, params, where=f"dataset {spec!r}")
    return opened
