"""The contract that all plug-ins share: a documented, frozen dataclass of checked parameters."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, get_type_hints

import numpy as np

from leakfront.errors import InputError
from leakfront.registry import parameters

P = TypeVar("P")


def require(condition: object, sentence: str) -> None:
    """Raise `AssertionError` with `sentence` unless `condition` holds; `python -O` does not remove this."""
    if not condition:
        raise AssertionError(sentence)


@contextmanager
def calling(subject: str) -> Iterator[None]:
    """Turn any exception of the plug-in inside the block into an `AssertionError` that begins with `subject`."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{subject} raised {type(error).__name__}: {error}") from error


def named(plugin: Any, kind: str) -> str:
    """The plug-in as sentences begin with it: "attack 'pia'"."""
    cls = plugin if isinstance(plugin, type) else type(plugin)
    return f"{kind} {getattr(cls, 'name', cls.__name__)!r}"


def check_plugin(plugin: type[P] | P, base: type[P], kind: str, *, defaults: bool = True) -> P:
    """Check the statements and parameters of a plug-in; return an instance of it.

    plugin: a class or an instance. base: the class that it must derive from. kind: the word for it in sentences,
    "attack". defaults: whether every parameter must have a default.
    """
    cls: Any = plugin if isinstance(plugin, type) else type(plugin)
    who = named(cls, kind)
    require(base in cls.__mro__, f"{who} must derive from {base.__module__}.{base.__name__}")
    is_dataclass = "__dataclass_params__" in vars(cls)
    require(is_dataclass and vars(cls)["__dataclass_params__"].frozen, f"{who} must be a @dataclass(frozen=True)")
    require(getattr(cls, "name", ""), f'{who} has no name; decorate its class with @register("name")')
    require(docstring(cls), f"{who} needs a docstring")
    check_line(cls.summary or docstring(cls).splitlines()[0], f"the summary of {who}")
    if defaults:
        needed = [f.name for f in dataclasses.fields(cls) if f.init and not _has_default(f)]
        require(not needed, f"the parameters {', '.join(needed)} of {who} must have defaults")
    with calling(f"{who}: making it with its defaults"):
        built: P = cls() if isinstance(plugin, type) else plugin
    _check_parameters(built, who)
    return built


def check_line(text: object, subject: str) -> None:
    """Raise `AssertionError` unless `text` is one line that is not empty."""
    is_line = isinstance(text, str) and text.strip() == text and len(text.splitlines()) == 1
    require(is_line, f"{subject} must be one line of text; it is {text!r}")


def docstring(cls: type) -> str:
    """The docstring of a class, empty if it has none of its own."""
    text = inspect.cleandoc(cls.__doc__ or "")
    return "" if text.startswith(f"{cls.__name__}(") else text  # dataclass writes such a line if there is none


def same_arrays(a: Any, b: Any) -> bool:
    """Whether two arrays have equal types, shapes and values; nan equals nan."""
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _check_parameters(plugin: Any, who: str) -> None:
    with calling(f"{who}: copying it with its own parameters"):
        again = dataclasses.replace(plugin)
    require(again == plugin, f"{who} must equal a copy with the same parameters")
    with calling(f"{who}: writing its parameters as JSON"):
        json.dumps(parameters(plugin), allow_nan=False)
    hints = get_type_hints(type(plugin), include_extras=True)
    for field in dataclasses.fields(plugin):
        if not field.init or hints[field.name] is Any:
            continue
        try:
            dataclasses.replace(plugin, **{field.name: object()})
        except InputError as error:
            require(field.name in str(error), f"{who} refuses a wrong {field.name} without naming it: {error}")
        except Exception as error:
            wanted = "a wrong type must be an InputError; call super().__post_init__(), or use validate instead"
            raise AssertionError(f"{who} raised {type(error).__name__} for a wrong {field.name}: {wanted}") from error
        else:
            wanted = "call super().__post_init__(), or use validate instead"
            raise AssertionError(f"{who} takes any object as {field.name}; {wanted}")
