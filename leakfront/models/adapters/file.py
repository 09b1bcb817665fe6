"""The file of low-rank adapters, `pytorch_lora_weights.safetensors`, as diffusers' pipelines write and read it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from leakfront.errors import InputError
from leakfront.models.adapters.layers import Adapter

FILE = "pytorch_lora_weights.safetensors"
METADATA = "lora_adapter_metadata"  # diffusers' key in the file's metadata; a peft config for each component
COMPONENTS = ("unet", "transformer", "text_encoder", "text_encoder_2")
DOWN = (".lora_A.weight", ".lora.down.weight", ".lora_linear_layer.down.weight")  # today's ending, and former ones
UP = (".lora_B.weight", ".lora.up.weight", ".lora_linear_layer.up.weight")
OTHER_FORMS = {"use_dora": "DoRA", "use_rslora": "rank-stabilized LoRA", "lora_bias": "a bias in B"}


def write_adapters(adapters: Mapping[str, Adapter], folder: Path) -> None:
    """Write adapters, by layers whose names begin with unet or text_encoder, into `folder`.

    diffusers' `load_lora_weights` reads the file; alpha is in its metadata.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"{name}{DOWN[0]}": adapter.down.contiguous() for name, adapter in adapters.items()}
    tensors |= {f"{name}{UP[0]}": adapter.up.contiguous() for name, adapter in adapters.items()}
    metadata: dict[str, Any] = {}
    for component in COMPONENTS:
        prefix = f"{component}."
        own = {name.removeprefix(prefix): one for name, one in adapters.items() if name.startswith(prefix)}
        metadata |= {f"{prefix}{key}": value for key, value in _config(own).items()}
    text = json.dumps(metadata, indent=2, sort_keys=True)
    save_file(tensors, folder / FILE, metadata={"format": "pt", METADATA: text})


def _config(adapters: Mapping[str, Adapter]) -> dict[str, Any]:
    """What peft's `LoraConfig` takes for these adapters."""
    if not adapters:
        return {}
    ranks = {name: adapter.rank for name, adapter in adapters.items()}
    alphas = {name: adapter.rank if adapter.alpha is None else adapter.alpha for name, adapter in adapters.items()}
    rank, alpha = next(iter(ranks.values())), next(iter(alphas.values()))
    return {
        "r": rank, "lora_alpha": alpha, "target_modules": sorted(adapters),
        "rank_pattern": {name: own for name, own in ranks.items() if own != rank},
        "alpha_pattern": {name: own for name, own in alphas.items() if own != alpha},
    }  # fmt: skip


def read_adapters(path: Path, other: Callable[[str], tuple[str, str] | None] = lambda key: None) -> dict[str, Adapter]:
    """The adapters in a file that diffusers or `write_adapters` wrote, by layer: "unet. …" or "text_encoder. …".

    An adapter's alpha is None if the file does not state it. other: gives the layer and the factor ("A", "B" or
    "alpha") of a key in another spelling, and None for diffusers' own. Raises `InputError` for anything else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
        stated = json.loads(metadata.get(METADATA) or "{}")
        if not isinstance(stated, dict):
            raise ValueError(f"its {METADATA} is no table")
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as adapters in safetensors: {error}") from None
    return _with_alphas(_paired(tensors, path, other), stated, path)


def _paired(
    tensors: Mapping[str, torch.Tensor], path: Path, other: Callable[[str], tuple[str, str] | None]
) -> dict[str, Adapter]:
    """The adapters in named tensors; a stored ".alpha" of a layer counts, as in older files."""
    factors: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        name, factor = other(key) or _place(key, path)
        if factor in factors.setdefault(name, {}):
            raise InputError(f"{path} has the same factor of {name} twice, in another spelling")
        factors[name][factor] = value.float()
    for name, own in factors.items():
        if missing := {"A", "B"} - set(own):
            raise InputError(f"{path} has an adapter of {name} without its factor {' and '.join(sorted(missing))}")
        if "alpha" in own and own["alpha"].numel() != 1:
            raise InputError(f"{path} has an alpha of {name} that is no single number")
    if not factors:
        raise InputError(f"{path} holds no adapters")
    return {
        name: Adapter(own["A"], own["B"], _number(float(own["alpha"]), name, path) if "alpha" in own else None)
        for name, own in factors.items()
    }


def _place(key: str, path: Path) -> tuple[str, str]:
    """The layer that a tensor belongs to, and what it is of it: "A", "B" or "alpha"."""
    component = key.partition(".")[0]
    for factor, endings in (("A", DOWN), ("B", UP), ("alpha", (".alpha",))):
        for ending in endings:
            if component in COMPONENTS and key.endswith(ending):
                # transformers 5 has no `text_model` in its CLIP text encoders
                return key.removesuffix(ending).replace("text_encoder.text_model.", "text_encoder."), factor
    raise InputError(
        f"{path} has a tensor {key!r}, which is no adapter by diffusers' names, such as unet.LAYER{DOWN[0]}"
    )


def _with_alphas(adapters: dict[str, Adapter], stated: Mapping[str, Any], path: Path) -> dict[str, Adapter]:
    """The adapters with the alphas that the file's metadata states."""
    known = dict(adapters)
    for component in COMPONENTS:
        config = {key.removeprefix(f"{component}."): value for key, value in stated.items()
                  if key.startswith(f"{component}.")}  # fmt: skip
        for key, form in OTHER_FORMS.items():
            if config.get(key):
                raise InputError(f"{path} holds adapters in the form {form} ({key}), which is not known here")
        patterns = config.get("alpha_pattern") or {}
        for name, adapter in adapters.items():
            if not name.startswith(f"{component}."):
                continue
            layer = name.removeprefix(f"{component}.")
            alpha = _alpha_of(layer, patterns, config.get("lora_alpha"))
            if alpha is not None:
                known[name] = replace(adapter, alpha=_number(alpha, name, path))
    return known


def _alpha_of(layer: str, patterns: Any, usual: Any) -> Any:
    """The alpha of a layer by a peft config: of the pattern that is the layer's name or its end, else the usual one."""
    names = patterns if isinstance(patterns, dict) else {}
    ends = [value for name, value in names.items() if layer == name or layer.endswith(f".{name}")]
    return ends[0] if ends else usual


def _number(alpha: Any, name: str, path: Path) -> float:
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < float("inf"):
        raise InputError(f"{path} states alpha {alpha!r} for {name}; it must be a number above 0")
    return float(alpha)
