"""The parameters of a plug-in: ranges stand in annotations, and one sentence says what is wrong with a value."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Interval, Le, Lt, MinLen, MultipleOf

from leakfront.errors import InputError

_KINDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def check_parameters(plugin: Any, where: str) -> None:
    """Raise `InputError` for the first field of a dataclass whose value is not of the annotated type and range.

    where: the key of a config that the parameters stand under, named in the sentence: "attacks.pia.norm is 0; it must
    be above 0".
    """
    from pydantic import ValidationError

    kind: Any = type(plugin)
    for name, adapter in _adapters(kind).items():
        value = getattr(plugin, name)
        try:
            adapter.validate_python(value)
        except ValidationError:
            raise InputError(sentence(kind, name, value, where)) from None


def sentence(plugin: type, name: str, value: Any, where: str) -> str:
    """What is wrong with a value of the field `name`, and what would be right."""
    shown = list(value) if isinstance(value, tuple) else value
    return f"{where}.{name} is {shown!r}; it must {requirement(_hints(plugin)[name], value)}"


def requirement(annotation: Any, value: Any) -> str:
    """What a value of a type must do, as the end of a sentence: "be at least 1", "be 'flat' or 'per_layer'"."""
    kind, constraints = _parts(annotation)
    if get_origin(kind) in (Union, types.UnionType):  # the value may be left out: None
        (kind,) = [part for part in get_args(kind) if part is not type(None)]
        kind, more = _parts(kind)
        constraints += more
    if get_origin(kind) is Literal:
        *most, last = map(repr, get_args(kind))
        return f"be {', '.join(most)} or {last}" if most else f"be {last}"
    if get_origin(kind) is tuple:
        least = next((c.min_length for c in constraints if isinstance(c, MinLen)), 0)
        inner, ranges = _parts(get_args(kind)[0])
        of = f", each of which must {_range(inner, ranges)}" if ranges else ""
        many = f"at least {least} " if least > 1 else "one or more " if least else ""
        return f"be a list of {many}{_KINDS.get(inner, 'a value').removeprefix('a ')}s{of}"
    expected = (int, float) if kind is float else kind
    if isinstance(kind, type) and not (isinstance(value, expected) and (kind is bool or not isinstance(value, bool))):
        also = f" and {_range(kind, constraints).removeprefix('be ')}" if constraints else ""
        return f"be {_KINDS.get(kind, f'a {kind.__name__}')}{also}"
    if isinstance(value, float) and not math.isfinite(value) and constraints:
        return f"be finite and {_range(kind, constraints).removeprefix('be ')}"
    return _range(kind, constraints) if constraints else "be a finite number"


def _parts(annotation: Any) -> tuple[Any, list[Any]]:
    """The type behind an annotation, and its constraints, intervals taken apart."""
    if get_origin(annotation) is not Annotated:
        return annotation, []
    kind, *metadata = get_args(annotation)
    inner, more = _parts(kind)
    apart: list[Any] = []
    for constraint in metadata:
        apart += list(constraint) if isinstance(constraint, Interval) else [constraint]
    return inner, more + apart


def _range(kind: Any, constraints: Iterable[Any]) -> str:
    """The range that constraints leave: "lie in 1 … 8", "be above 0 and at most 1"."""
    low = next((c for c in constraints if isinstance(c, Ge | Gt)), None)
    high = next((c for c in constraints if isinstance(c, Le | Lt)), None)
    multiple = next((c.multiple_of for c in constraints if isinstance(c, MultipleOf)), None)
    if isinstance(low, Ge) and isinstance(high, Le):
        text = f"lie in {low.ge} … {high.le}" if kind is int else f"lie in [{low.ge}, {high.le}]"
    elif isinstance(low, Gt) and isinstance(high, Lt):
        text = f"lie between {low.gt} and {high.lt}"
    else:
        lower = f"at least {low.ge}" if isinstance(low, Ge) else f"above {low.gt}" if isinstance(low, Gt) else ""
        upper = f"at most {high.le}" if isinstance(high, Le) else f"below {high.lt}" if isinstance(high, Lt) else ""
        text = f"be {' and '.join(filter(None, (lower, upper)))}" if lower or upper else ""
    if multiple is not None:
        text = f"{text} and be a multiple of {multiple}" if text else f"be a multiple of {multiple}"
    return text or "be a finite number"


@cache
def _hints(plugin: type) -> dict[str, Any]:
    hints = get_type_hints(plugin, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(plugin)}


@cache
def _adapters(plugin: type) -> dict[str, Any]:
    from pydantic import ConfigDict, TypeAdapter

    finite = ConfigDict(allow_inf_nan=False, arbitrary_types_allowed=True)
    return {name: TypeAdapter(hint, config=finite) for name, hint in _hints(plugin).items()}
