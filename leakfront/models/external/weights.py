"""The weights of a network: one safetensors file, a variant of it such as fp16, or shards with an index."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from leakfront.errors import InputError
from leakfront.memory import memory
from leakfront.models.external.documents import one_line, read_object, shown
from leakfront.models.external.places import POINTER, inside, is_pointer

if TYPE_CHECKING:
    import torch

FLOATS = ("F16", "BF16", "F32", "F64")
_SHARD = re.compile(r"[\w.-]+\.safetensors")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
MAX_SHARDS = 1000
_DIFFERING = 2  # tensors that a sentence names

# names of the parts of an attention layer in diffusers before 2023 (its `_convert_deprecated_attention_blocks`)
_OLD = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def _renamed(name: str) -> str:
    """The current diffusers name of a tensor."""
    return re.sub(rf"(\.attentions\.\d+)\.({'|'.join(_OLD)})\.", lambda m: f"{m[1]}.{_OLD[m[2]]}.", name)


@dataclass(frozen=True)
class Form:
    """How a library writes the weights of a network.

    stem: how the names of files begin. renamed: the name of a tensor today. left_out: the names of tensors that are no
    weights of their own, whole or their last parts.
    """

    stem: str
    renamed: Callable[[str], str]
    left_out: tuple[str, ...] = ()

    @property
    def whole(self) -> str:
        """The name of the one file."""
        return f"{self.stem}.safetensors"

    @property
    def file(self) -> re.Pattern[str]:
        """The names of files and indices, with the variant."""
        return re.compile(rf"{self.stem}(?:\.(\w+))?\.safetensors|{self.stem}\.safetensors\.index(?:\.(\w+))?\.json")

    def is_weight(self, name: str) -> bool:
        """Whether the tensor of this name is a weight."""
        return not {name, name.rpartition(".")[2]} & set(self.left_out)


DIFFUSERS = Form("diffusion_pytorch_model", _renamed)


@dataclass(frozen=True)
class Weights:
    """The files of a network's weights, whose headers were read and whose tensors were not.

    files: by logical name, the same wherever the folder lies. shapes: of each tensor, by the network's names.
    """

    files: dict[str, Path]
    shapes: dict[str, tuple[int, ...]]
    form: Form = field(default=DIFFUSERS, repr=False)

    def load(self, dtype: torch.dtype | None = None) -> dict[str, torch.Tensor]:
        """The tensors by the network's names, float32 or of `dtype`; `InputError` if a value is not finite in it."""
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        loaded: dict[str, torch.Tensor] = {}
        to, form = dtype or torch.float32, self.form
        for path in self.files.values():
            try:
                read = load_file(path)
                tensors = {form.renamed(name): read[name].to(to) for name in read if form.is_weight(name)}
            except (OSError, SafetensorError, ValueError) as error:
                raise InputError(f"{path} cannot be read as safetensors: {one_line(error)}") from error
            if bad := next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None):
                raise InputError(
                    f"{path} has weights that are not finite in {str(to).removeprefix('torch.')}, in {bad}"
                )
            loaded |= tensors
        return loaded


def read_weights(
    network: Path, home: Path, faults: list[str], notes: list[str], form: Form = DIFFUSERS, most: int | None = None
) -> Weights | None:
    """The weights in the network's folder; None with a sentence in `faults` for what is wrong.

    A line in `notes` says which of several precisions was read, and which files beside it were not. most: the largest
    size in bytes, by default a quarter of the memory.
    """
    found = {entry.name: match for entry in sorted(network.iterdir()) if (match := form.file.fullmatch(entry.name))}
    variants = {name: match[1] or match[2] for name, match in found.items()}
    plain = [name for name, variant in variants.items() if variant is None]
    chosen = plain or list(variants)
    if not chosen:
        faults.append(_missing(network, form.whole))
        return None
    if len(chosen) > 1:
        faults.append(
            f"{network} has several weights, {' and '.join(chosen)}; leave only those that you want to attack"
        )
        return None
    (name,) = chosen
    if not plain:
        notes.append(f"the weights are those of {name}, computed with in float32")
    if beside := [other for other in variants if other != name and variants[other] is not None]:
        notes.append(f"the weights are those of {name}, and not of {' and '.join(beside)} beside it")
    path = network / name
    if name.endswith(".json"):
        paths = _shards(path, home, faults)
    else:
        paths = {form.whole: path} if inside(path, home, faults) is not None else {}
    headers = [(shard, header) for shard in paths.values() if (header := _shapes(shard, faults, form)) is not None]
    if len(headers) < len(paths) or not paths:
        return None
    shapes: dict[str, tuple[int, ...]] = {}
    for shard, header in headers:
        if twice := next((tensor for tensor in header if tensor in shapes), None):
            faults.append(f"{shard} has the tensor {shown(twice)}, which another file has too")
        shapes |= header
    if sum(shard.stat().st_size for shard in paths.values()) > (memory() // 4 if most is None else most):
        faults.append(f"the weights in {network} are larger than a quarter of the memory that this process may use")
        return None
    return Weights(paths, shapes, form)


def differing(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> str:
    """How the shapes of a file's tensors differ from those of a network, as the end of a sentence; "" if they agree."""
    wrong = [name for name in sorted({*expected, *found}) if expected.get(name) != found.get(name)]
    listed = ", ".join(
        f"{shown(name)[1:-1]} is {_shape(found.get(name))} in the file and {_shape(expected.get(name))} in the network"
        for name in wrong[:_DIFFERING]
    )
    more = f", and {len(wrong) - _DIFFERING} more tensors differ" if len(wrong) > _DIFFERING else ""
    return listed + more


def _shards(index: Path, home: Path, faults: list[str]) -> dict[str, Path]:
    """The files that an index of shards names, by name; {} with a sentence in `faults` if one is wrong."""
    before = len(faults)
    mapped = (read_object(index, home, faults) or {}).get("weight_map")
    names = sorted({str(name) for name in mapped.values()}) if isinstance(mapped, dict) else []
    if len(faults) == before and not 1 <= len(names) <= MAX_SHARDS:
        faults.append(f"{index}: weight_map must name the file of each tensor, 1 to {MAX_SHARDS} files in all")
    if bad := next((name for name in names if not _SHARD.fullmatch(name)), None):
        faults.append(f"{index}: weight_map names {shown(bad)}; it must be a safetensors file in the same folder")
    if len(faults) > before:
        return {}
    paths = {name: inside(index.parent / name, home, faults) for name in names}
    found = {name: path for name, path in paths.items() if path is not None}
    return found if len(found) == len(names) else {}


def _shapes(path: Path, faults: list[str], form: Form) -> dict[str, tuple[int, ...]] | None:
    """The shapes of the tensors in a file, read from its header, by the network's names."""
    from safetensors import SafetensorError, safe_open

    try:
        if is_pointer(path):
            faults.append(f"{path} {POINTER}")
            return None
        with safe_open(path, framework="numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys() if form.is_weight(name)}  # noqa: SIM118 (not a mapping)
            kinds = {name: str(part.get_dtype()) for name, part in slices.items()}
            shapes = {form.renamed(name): tuple(part.get_shape()) for name, part in slices.items()}
    except (OSError, SafetensorError, ValueError) as error:
        faults.append(f"{path} cannot be read as safetensors: {one_line(error)}")
        return None
    if len(shapes) < len(kinds):
        faults.append(f"{path} has tensors under their old and their new names, such as query and to_q; leave only one")
        return None
    if wrong := next((name for name, kind in kinds.items() if kind not in FLOATS), None):
        faults.append(f"{path}: {shown(wrong)} is of type {kinds[wrong]}; it must be a float of 16, 32 or 64 bits")
        return None
    return shapes


def _missing(network: Path, whole: str) -> str:
    """That there are no weights, and what there is instead."""
    there = sorted(entry.name for entry in network.iterdir())
    others = [name for name in there if name.endswith(".safetensors")]
    pickled = [name for name in there if name.endswith(_PICKLED)]
    sentence = f"{network} has no file {whole}"
    if others:
        return f"{sentence}; it has {shown(others[0])}, which must have that name if it holds the network's weights"
    if pickled:
        return (
            f"{sentence}; it has {shown(pickled[0])}, but weights are read from safetensors only, since other formats "
            "can run code; load the model with diffusers and write it with save_pretrained(…, safe_serialization=True)"
        )
    return f"{sentence}; weights are read from safetensors only, since other formats can run code"


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape)) or "a number"
