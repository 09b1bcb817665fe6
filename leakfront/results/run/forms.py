"""The forms of what is read from a finished run's folder: those keys of run.json and those arrays that are used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import safe_open

Number = Annotated[float, Field(strict=True)]
Names = list[str]


class _Form(BaseModel):
    """Other keys than those declared may hold anything."""

    model_config = ConfigDict(extra="ignore", strict=True)


class _Guarantee(_Form):
    epsilon: Number
    delta: Number
    unit: str = ""
    accountant: str = ""
    group: int = 1
    group_epsilon: Number | None = None


class _Together(_Guarantee):
    models: int
    unit: str


class _AttackFacts(_Form):
    attack: str = ""
    access: str = ""
    shadows: str = ""
    note: str = ""


class _MetricFacts(_Form):
    features: str
    params: dict[str, Any]


class _Statistics(_Form):
    audit_delta: Number | None = None


class _Execution(_Form):
    device: str = "cpu"


class _Config(_Form):
    statistics: _Statistics = _Statistics()
    execution: _Execution = _Execution()


class _Cell(_Form):
    name: Any
    defense: Any
    params: Any
    split: Any


class _Info(_Form):
    """run.json. Names of cells and labels are checked by `received`."""

    name: str = ""
    title: str = ""
    suite: str = ""
    features: str = ""
    model: str = ""
    attacks: list[Any] = []
    attack_facts: dict[str, _AttackFacts] = {}
    attack_notes: list[Any] = []
    in_front: Names = []
    lines: Names = []
    metric_facts: dict[str, _MetricFacts] = {}
    config: _Config = _Config()
    dataset: dict[str, Any] = {}
    classes: Names = []
    data_notes: Names = []
    external_model: dict[str, Any] | None = None
    samples_per_model: int | str | None = None
    cells: list[_Cell] = []
    guarantees: dict[str, _Guarantee | None] = {}
    composed_guarantees: list[_Together] = []
    private_draws: str = ""
    private_draws_before: bool = False
    covers: dict[str, str | None] = {}
    acts_on: dict[str, Names] = {}
    stops_short_of: dict[str, str] = {}
    diverged: Names = []
    failed: dict[str, Any] = {}
    versions: dict[str, Any] = {}
    plugins: dict[str, Any] = {}
    git: dict[str, Any] = {}
    machine: dict[str, Any] = {}
    wall_seconds: Number | None = None


def check_info(info: Any) -> None:
    """Raise `ValueError` for facts of another form than `leakfront run` writes; it names the first key."""
    try:
        _Info.model_validate(info)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "the whole"
        wrong = first["msg"].lower().partition(" or instance of ")[0]
        raise ValueError(f"{key} is not as a run writes it: {wrong}") from None


# by the name of an array: the kinds of its numbers ("u" unsigned, "i" signed, "f" floating, "b" true or false), and its
# axes: P images of the pool, G generated ones, C channels (1 or 3), n of any length
Forms = Mapping[str, tuple[str, str]]
POOL: Forms = {"images": ("u", "PCHW"), "copies": ("iu", "P")}
COINS: Forms = {"members": ("biu", "P")}
SAMPLES: Forms = {"images": ("u", "GCHW")}
SCORES: dict[str, tuple[str, str]] = {"score": ("f", "P")}
EVIDENCE: dict[str, dict[str, tuple[str, str]]] = {
    "extraction": {"nearest_sample": ("i", "P"), "neighbours": ("i", "Gn"), "neighbour_scores": ("f", "Gn")},
    "inpainting": {"inpainted": ("u", "PCHW"), "errors": ("f", "P")},
}


def check_arrays(arrays: Mapping[str, np.ndarray], forms: Forms, sizes: Mapping[str, int] | None = None) -> None:
    """Raise `ValueError` unless these arrays are there and have these forms. sizes: known lengths of axes.

    Images are uint8 with 1 or 3 channels; floating numbers are finite, but those of evidence need not be.
    """
    known = dict(sizes or {})
    for name, (kinds, axes) in forms.items():
        if name not in arrays:
            raise ValueError(f"it has no array {name!r}")
        array = arrays[name]
        what = f"array {name!r} is {array.dtype} {list(array.shape)}"
        if array.dtype.kind not in kinds or (axes.endswith("CHW") and array.dtype != np.uint8):
            raise ValueError(f"{what}, which is another kind of numbers than a run writes")
        if array.ndim != len(axes) or 0 in array.shape:
            raise ValueError(f"{what}; it must have {len(axes)} axes, none of them empty")
        for axis, length in zip(axes, array.shape, strict=True):
            if length != known.setdefault(axis, length) and axis != "n":
                raise ValueError(f"{what}; it does not fit the {known[axis]} of the run's other arrays")
        if "C" in axes and known["C"] not in (1, 3):
            raise ValueError(f"{what}; images have 1 or 3 channels")
    if "score" in forms and not np.isfinite(arrays["score"]).all():
        raise ValueError("array 'score' has values that are not finite")
    for name, axis, least in (("nearest_sample", "G", -1), ("neighbours", "P", 0)):
        if name in forms and axis in known and not least <= arrays[name].min() <= arrays[name].max() < known[axis]:
            raise ValueError(f"array {name!r} names images that the run does not have")


def shape_of(path: Path, name: str) -> tuple[int, ...]:
    """The shape of an array in a safetensors file, read from its header. Raises as safetensors does."""
    with safe_open(path, framework="numpy") as file:
        return tuple(file.get_slice(name).get_shape())
