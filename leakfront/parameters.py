"""Parameters of plug-ins: checked against their annotations, with one sentence for a value that is wrong."""

from __future__ import annotations

import dataclasses
import math
import os
import types
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, GroupedMetadata, Gt, Le, Lt, MaxLen, MinLen, MultipleOf

from leakfront.errors import InputError

# one value of a type, and several
_NAMES: dict[Any, tuple[str, str]] = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    bool: ("true or false", "values that are true or false"),
    dict: ("a table", "tables"),
}


def check_parameters(plugin: Any, where: str) -> None:
    """Check all fields of a dataclass, frozen or not, and store each in the type that its annotation names.

    A field of floats given as 1 becomes 1.0, so that a plug-in made in Python equals one made from a config.
    where: stands before a field's name in the sentence. Raises `InputError` for the first wrong value.
    """
    kind: Any = type(plugin)
    values = {name: getattr(plugin, name) for name in _hints(kind)}
    for name, value in checked(kind, values, where).items():
        object.__setattr__(plugin, name, value)  # the dataclass may be frozen


def checked(plugin: type, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values of some fields of a dataclass, each in the type that its annotation names.

    Types are strict: "5", 5.0 and true are not whole numbers, and no number may be infinite or nan. Lists and arrays
    may stand for tuples, NumPy's numbers for Python's, and paths for texts. Raises `InputError` for the first value of
    a wrong type or out of its range: "attacks.pia.norm is 0; it must be above 0", where `where` is "attacks.pia".
    """
    from pydantic import ValidationError

    found: dict[str, Any] = {}
    for name, value in values.items():
        plain = _plain(value)
        try:
            found[name] = adapters(plugin)[name].validate_python(plain)
        except ValidationError:
            raise InputError(sentence(plugin, name, plain, where)) from None
        if isinstance(plain, bool) and not isinstance(found[name], bool):  # Literal[1, 2] would take True for 1
            raise InputError(sentence(plugin, name, plain, where))
    return found


def sentence(plugin: type, name: str, value: Any, where: str) -> str:
    """What is wrong with a value of the field `name`, and what would be right."""
    shown = _as_lists(value)
    return f"{where}.{name} is {shown!r}; it must {requirement(_hints(plugin)[name], value)}"


def requirement(annotation: Any, value: Any, more: Sequence[Any] = ()) -> str:
    """What an annotation, with `more` constraints, asks of a wrong value, as the end of a sentence: "be at least 1"."""
    kind, constraints = _parts(annotation)
    constraints += more
    if get_origin(kind) in (Union, types.UnionType):
        options = [option for option in get_args(kind) if option is not type(None)]
        return " or ".join(requirement(option, value, constraints) for option in options)
    text = _range(kind, constraints)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if get_origin(kind) in (Literal, tuple) or (text and _is_instance(value, kind) and _is_finite(value)):
        return text or f"be {_described(kind, constraints, several=False)}"
    name = "a finite number" if kind is float and is_number else _described(kind, constraints, several=False)
    is_whole = kind is int and isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    also = f" and {text.removeprefix('be ')}" if text else ""
    return f"be {name}{also}" + (f": write {int(value)}" if is_whole else "")


def _described(kind: Any, constraints: Iterable[Any], several: bool) -> str:
    """One value of a type ("a whole number", "'a' or 'b'", "a list of 2 numbers"), or several of them."""
    if get_origin(kind) is Literal:
        *most, last = map(repr, get_args(kind))
        named = f"{', '.join(most)} or {last}" if most else last
        return f"values that are {named}" if several else named
    if get_origin(kind) is tuple:
        return f"{'lists' if several else 'a list'} of {_items(get_args(kind), constraints)}"
    name = getattr(kind, "__name__", str(kind))
    return _NAMES.get(get_origin(kind) or kind, (f"a {name}", f"values of type {name}"))[several]


def _items(items: tuple[Any, ...], constraints: Iterable[Any]) -> str:
    """What stands in a list: "one or more whole numbers, each of which must be at least 0"."""
    if items[-1] is not Ellipsis and len(set(items)) > 1:
        *most, last = (_described(*_parts(item), several=False) for item in items)
        return f"{', '.join(most)} and {last}"
    many = _length(constraints) if items[-1] is Ellipsis else f"{len(items)} "
    kind, ranges = _parts(items[0])
    each = f", each of which must {text}" if (text := _range(kind, ranges)) else ""
    return f"{many}{_described(kind, ranges, several=True)}{each}"


def _length(constraints: Iterable[Any]) -> str:
    """How many items a list may have, before their name: "one or more ", "1 to 8 "; empty without a limit."""
    constraints = list(constraints)
    least = next((c.min_length for c in constraints if isinstance(c, MinLen)), 0)
    most = next((c.max_length for c in constraints if isinstance(c, MaxLen)), None)
    if most is not None:
        return f"{least} to {most} " if least else f"at most {most} "
    return f"at least {least} " if least > 1 else "one or more " if least else ""


def _range(kind: Any, constraints: Iterable[Any]) -> str:
    """The range that constraints leave: "lie in 1 … 8", "be above 0 and at most 1"; empty if they leave all."""
    constraints = list(constraints)
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
    if kind is str and any(isinstance(c, MinLen) for c in constraints):
        text = "not be empty"
    if multiple is not None:
        text = f"{text} and be a multiple of {multiple}" if text else f"be a multiple of {multiple}"
    return text


def _parts(annotation: Any) -> tuple[Any, list[Any]]:
    """The type behind an annotation, and its constraints; `Interval` and `Len` are taken apart."""
    if get_origin(annotation) is not Annotated:
        return annotation, []
    kind, *metadata = get_args(annotation)
    inner, constraints = _parts(kind)
    for constraint in metadata:
        constraints += list(constraint) if isinstance(constraint, GroupedMetadata) else [constraint]
    return inner, constraints


def _is_instance(value: Any, kind: Any) -> bool:
    """Whether a value is of a type as the check takes it: a whole number is a number, and true is neither."""
    if not isinstance(kind, type):
        return True
    return isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))


def _is_finite(value: Any) -> bool:
    try:
        return not isinstance(value, int | float) or math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def _plain(value: Any) -> Any:
    """The same value in Python's own types: arrays and lists as tuples, NumPy's numbers as numbers, paths as texts."""
    if isinstance(value, list | tuple):
        return tuple(_plain(item) for item in value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers, known without importing NumPy
        return _plain(value.tolist())
    return value


def _as_lists(value: Any) -> Any:
    """The same value with lists for tuples, as a config writes it."""
    return [_as_lists(item) for item in value] if isinstance(value, tuple) else value


@cache
def _hints(plugin: type) -> dict[str, Any]:
    hints = get_type_hints(plugin, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(plugin) if field.init}


@cache
def adapters(plugin: type) -> dict[str, Any]:
    from pydantic import ConfigDict, TypeAdapter

    settings = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
    return {name: TypeAdapter(hint, config=settings) for name, hint in _hints(plugin).items()}
