"""Plug-ins: registered by name with one decorator, loaded late, extended by entry points, built from settings."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, ClassVar, TypeVar

from leakfront.errors import InputError
from leakfront.parameters import check_parameters, sentence

P = TypeVar("P")


class Plugin:
    """The base of every plug-in: a frozen dataclass of parameters, whose types and ranges are checked when it is made.

    A range stands in the annotation, `steps: Annotated[int, Ge(1)] = 10` (annotated_types), and holds from a config and
    from Python alike; what depends on several parameters is checked in `validate`.

    Class attributes: `name` (set by registration), `summary` (one line for `leakfront list`) and `section` (the key of
    a config that such plug-ins stand under, which errors name).
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    section: ClassVar[str] = ""

    def __post_init__(self) -> None:
        check_parameters(self, self.where())
        self.validate()

    def validate(self) -> None:
        """Raise `InputError` for parameters that do not go together; their ranges hold already."""

    @classmethod
    def where(cls) -> str:
        """What stands before a parameter's name in errors: "attacks.pia"."""
        return ".".join(filter(None, (cls.section, getattr(cls, "name", ""))))


class Registry:
    """The plug-ins of one room, found by name.

    A plug-in `name` lives in the module `package.name` (or behind an entry point of `group` with that name) and
    registers itself with `@registry.register("name")`. A module whose name begins with "_", and a sub-folder, is never
    one. Nothing is imported before it is asked for.
    """

    def __init__(self, kind: str, package: str, group: str, not_plugins: Iterable[str] = ()) -> None:
        """`kind` is the singular used in messages; `not_plugins` are the modules of `package` that register nothing."""
        self.kind = kind
        self.group = group
        self._package = package
        self._not_plugins = frozenset(not_plugins)
        self._registered: dict[str, type] = {}

    def register(self, name: str) -> Callable[[type[P]], type[P]]:
        """Class decorator: make the class known as `name` and set its attribute `name`."""

        def add(plugin: type[P]) -> type[P]:
            plugin.name = name  # type: ignore[attr-defined]
            self._registered[name] = plugin
            return plugin

        return add

    def names(self) -> list[str]:
        """All names that `get` would find, sorted, without importing any of them."""
        package: ModuleType = importlib.import_module(self._package)
        modules = {m.name for m in pkgutil.iter_modules(package.__path__) if not m.ispkg and m.name[0] != "_"}
        inside = modules - self._not_plugins
        outside = {entry.name for entry in entry_points(group=self.group)}
        return sorted(inside | outside | set(self._registered))

    def get(self, name: str) -> type:
        """The class registered as `name`; raises `InputError` with the nearest name if there is none."""
        if name not in self._registered:
            if name not in self.names():
                near = get_close_matches(name, self.names(), n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise InputError(f"unknown {self.kind} {name!r}{hint} (known: {', '.join(self.names())})")
            entries = [entry for entry in entry_points(group=self.group) if entry.name == name]
            if not entries:
                importlib.import_module(f"{self._package}.{name}")
            elif not isinstance(plugin := entries[0].load(), type):
                raise InputError(f"the entry point {name!r} of {self.group} must name a class: package.module:Class")
            elif name not in self._registered:
                self.register(name)(plugin)
        if name not in self._registered:
            raise InputError(
                f"{self._package}.{name} registers no {self.kind} of that name; decorate its class with "
                f'@register("{name}")'
            )
        return self._registered[name]


def build(registry: Registry, name: Any, params: Mapping[str, Any], where: str) -> Any:
    """An instance of the plug-in `name` with `params`, types checked strictly.

    `where` is the key of the config that is named in errors. Raises `InputError` for an unknown name or key (with the
    nearest right one), a wrong type, or a value that the plug-in refuses.
    """
    from pydantic import TypeAdapter, ValidationError

    plugin = find(registry, name, where)
    known = [field.name for field in dataclasses.fields(plugin)]
    for key in params:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            known_text = ", ".join(known) or "none"
            raise InputError(f"{where}: {name!r} has no parameter {key!r}{hint} (its parameters: {known_text})")
    try:
        text = json.dumps(dict(params), allow_nan=False)
        return TypeAdapter(plugin).validate_json(text, strict=True)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{where}: {error}") from None
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            cause = first.get("ctx", {}).get("error")
            if isinstance(cause, InputError):
                raise InputError(f"{where}: {cause}") from None
            key = ".".join(str(part) for part in first["loc"])
            if first["loc"] and issubclass(plugin, Plugin) and first["loc"][0] in known:
                name = str(first["loc"][0])
                raise InputError(f"{where}: {sentence(plugin, name, params[name], plugin.where())}") from None
            raise InputError(f"{where}: {key} = {first.get('input')!r} is wrong: {first['msg'].lower()}") from None
        raise InputError(f"{where}: the parameters of {name!r} must be finite numbers, strings or lists") from None
    except (OSError, RuntimeError) as error:  # of a path that a parameter names
        cause = getattr(error, "strerror", None) or error
        raise InputError(f"{where}: {name!r} cannot be set up with these parameters: {cause}") from error


def find(registry: Registry, name: Any, where: str) -> type:
    """The class of the plug-in `name`; `InputError` names the key `where` if there is none of that name."""
    if not isinstance(name, str):
        raise InputError(f"{where} must have a key 'name' with the name of a {registry.kind}")
    try:
        return registry.get(name)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def parameters(plugin: Any) -> dict[str, Any]:
    """All parameters of a plug-in, as JSON holds them."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(plugin)))
    return values


def default_values(plugin: type) -> dict[str, Any]:
    """The defaults of a plug-in's parameters."""
    return {f.name: f.default for f in dataclasses.fields(plugin) if f.default is not dataclasses.MISSING}
