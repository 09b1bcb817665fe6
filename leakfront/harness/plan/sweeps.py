"""From the config's defenses to the points on the plot: a list of values becomes one point per value."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from leakfront import defenses
from leakfront.defenses import Defense
from leakfront.errors import InputError
from leakfront.labels import LABEL, is_label
from leakfront.registry import build, default_values, find

MAX_POINTS = 1000  # of one entry


@dataclass(frozen=True)
class DefensePoint:
    """A stack of defenses at one strength: `line` is its name and its line on the plot, `params` the point on it."""

    line: str
    params: str
    stack: tuple[Defense, ...]

    @property
    def label(self) -> str:
        """Name with strength: "dp_sgd (epsilon=10)"."""
        return f"{self.line} ({self.params})" if self.params else self.line


def expand(entries: Sequence[dict[str, Any]]) -> list[DefensePoint]:
    """Every point of every entry; `none` is added as the first if no entry names it.

    An entry is {name, parameters…} or {stack = [{name, parameters…}, …]}; either may have a `label` for its line.
    Raises `InputError`.
    """
    points = [point for number, entry in enumerate(entries) for point in _points(number, entry)]
    if not any(point.line == "none" for point in points):
        points.insert(0, DefensePoint("none", "", (build(defenses.registry, "none", {}, "defenses"),)))
    seen: set[str] = set()
    for point in points:
        if point.label in seen:
            raise InputError(f"defenses lists {point.label!r} twice; give one of the two a different `label`")
        seen.add(point.label)
    return points


def _points(number: int, entry: dict[str, Any]) -> list[DefensePoint]:
    where = f"defenses[{number}]"
    entry = dict(entry)
    label = entry.pop("label", None)
    if label is not None and (not isinstance(label, str) or not label.strip()):
        raise InputError(f"{where}.label is {label!r}; it must be a text that is not empty")
    if label is not None and not is_label(label):
        raise InputError(f"{where}.label is {label!r}; {LABEL}")
    stack = entry.pop("stack", None)
    if stack is not None and entry:
        raise InputError(f"{where} has both 'stack' and {sorted(entry)[0]!r}; put the parameters inside the stack")
    layers = [entry] if stack is None else stack
    if not isinstance(layers, list) or not layers or not all(isinstance(layer, dict) for layer in layers):
        raise InputError(f'{where}.stack must be a list of tables, for example [{{name = "dedup"}}]')
    for layer in layers:
        find(defenses.registry, layer.get("name"), where)
    count = math.prod(len(layer[key]) for layer in layers for key in layer if key != "name" and _is_swept(layer, key))
    if count > MAX_POINTS:
        raise InputError(f"{where} sweeps over {count} combinations of values; there can be at most {MAX_POINTS}")
    options = [_options(layer, where) for layer in layers]
    # a parameter given as a list is the strength, even if the list has only one value
    swept = {(i, key) for i, layer in enumerate(layers) for key in layer if _is_swept(layer, key)}
    line = label or "+".join(str(layer.get("name")) for layer in layers)
    points = []
    for combination in itertools.product(*options):
        built = tuple(
            build(defenses.registry, layer.get("name"), params, where)
            for layer, params in zip(layers, combination, strict=True)
        )
        shown = [
            f"{key}={_short(value)}"
            for i, params in enumerate(combination)
            for key, value in params.items()
            if not swept or (i, key) in swept
        ]
        if not is_label(", ".join(shown)):
            raise InputError(f"{where} has the parameters {', '.join(shown)!r}; they must be printable")
        points.append(DefensePoint(line, ", ".join(shown), built))
    return points


def _options(layer: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """All combinations of a layer's swept parameters."""
    params = {key: value for key, value in layer.items() if key != "name"}
    choices = {key: value if _is_swept(layer, key) else [value] for key, value in params.items()}
    for key, values in choices.items():
        if not values:
            raise InputError(f"{where}.{key} is an empty list; give at least one value")
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def _is_swept(layer: dict[str, Any], key: str) -> bool:
    """Whether a key holds a list of values to sweep over, rather than one value that is a list."""
    default = default_values(defenses.registry.get(layer["name"])).get(key)
    return isinstance(layer[key], list) and not isinstance(default, tuple)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
