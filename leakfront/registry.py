"""Registration by name: one decorator, loaded late, extended by entry points."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from importlib.metadata import entry_points
from types import ModuleType
from typing import TypeVar

from leakfront.errors import InputError

P = TypeVar("P")


class Registry:
    """The plug-ins of one room, found by name.

    A plug-in `name` lives in the module `package.name` (or behind an entry point of `group` with that name) and
    registers itself with `@registry.register("name")`. Nothing is imported before it is asked for.
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
        inside = {m.name for m in pkgutil.iter_modules(package.__path__) if not m.ispkg} - self._not_plugins
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
