"""Training state on disk: tensors as safetensors, the rest as JSON; nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from leakfront.harness.store.artifacts import stored_key, writing


def save_checkpoint(folder: Path, key: str, state: dict[str, Any], made: Mapping[str, Any] | None = None) -> None:
    """Write `state`, nested dicts, lists and tuples of tensors, numbers, strings, booleans and None, in one step.

    made: how it was made, for the manifest. Raises `TypeError` for anything else.
    """
    tensors: dict[str, torch.Tensor] = {}
    tree = _pack(state, tensors)
    with writing(folder, key, made) as place:
        save_file(tensors, place / "tensors.safetensors")
        (place / "state.json").write_text(json.dumps(tree))


def load_checkpoint(folder: Path, key: str) -> dict[str, Any] | None:
    """The state that `save_checkpoint` wrote under this key; None if there is none or it is not complete."""
    if stored_key(folder) != key:
        return None
    tensors = load_file(folder / "tensors.safetensors")
    state = _unpack(json.loads((folder / "state.json").read_text()), tensors)
    assert isinstance(state, dict)
    return state


def _pack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().clone().contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        # as pairs, because the keys of an optimizer's state are numbers
        return {"pairs": [[_plain(k), _pack(v, tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return {"tuple" if isinstance(value, tuple) else "list": [_pack(v, tensors) for v in value]}
    return _plain(value)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")


def _unpack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "pairs":
        return {k: _unpack(v, tensors) for k, v in content}
    items = [_unpack(v, tensors) for v in content]
    return tuple(items) if kind == "tuple" else items
