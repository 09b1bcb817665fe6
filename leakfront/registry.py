"""Plug-ins: registered by name with one decorator, imported late, extended by entry points, built from settings."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points, packages_distributions
from types import ModuleType
from typing import Any, ClassVar, TypeVar

from leakfront.errors import InputError
from leakfront.parameters import check_parameters, checked

P = TypeVar("P")


class Plugin:
    """The base class of every plug-in: a frozen dataclass of parameters, checked when an instance is made.

    A range stands in the annotation, `steps: Annotated[int, Ge(1)] = 10` (annotated_types). It holds from a config and
    from Python alike. `validate` checks conditions on several parameters.

    Class attributes: `name` (set by registration), `summary` (one line for `leakfront list`), `section` (the key of
    a config under which such plug-ins stand; errors name it) and `places` (the names of the parameters that are paths;
    a run keeps them to itself).
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    section: ClassVar[str] = ""
    places: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_parameters(self, self.where())
        self.validate()

    def validate(self) -> None:
        """Raise `InputError` for parameters that do not go together. Their types and ranges are already checked."""

    @classmethod
    def where(cls) -> str:
        """What errors write before a parameter's name: "attacks.pia"."""
        return ".".join(filter(None, (cls.section, getattr(cls, "name", cls.__name__))))


class Registry:
    """The plug-ins of one room, found by name.

    A plug-in `name` lives in the module `package.name` and registers itself with `@registry.register("name")`, or
    another package offers it as the entry point `name` of `group`. A name that is built in cannot be offered again. A
    module whose name begins with "_" is no plug-in, nor is a sub-folder. Nothing is imported before it is asked for.
    """

    def __init__(self, kind: str, package: str, group: str, not_plugins: Iterable[str] = ()) -> None:
        """kind: the singular that messages use. not_plugins: the modules of `package` that register nothing."""
        self.kind = kind
        self.group = group
        self._package = package
        self._not_plugins = frozenset(not_plugins)
        self._registered: dict[str, type] = {}
        self._outside: dict[str, type] = {}

    def register(self, name: str) -> Callable[[type[P]], type[P]]:
        """Class decorator: register the class as `name`, and set its attribute `name`.

        Raises `InputError` for a class of another package under the name of a built-in plug-in.
        """

        def add(plugin: type[P]) -> type[P]:
            if not plugin.__module__.startswith(f"{self._package}.") and name in self._built_in():
                top = plugin.__module__.partition(".")[0]
                packages = ", ".join(packages_distributions().get(top, [])) or "no installed package"
                raise InputError(
                    f"{self.kind} {name!r} is built in ({self._package}.{name}), and {plugin.__module__} ({packages}) "
                    "registers another of that name; choose another name"
                )
            plugin.name = name  # type: ignore[attr-defined]
            self._registered[name] = plugin
            return plugin

        return add

    def names(self) -> list[str]:
        """All names that `get` finds, sorted. No plug-in is imported."""
        return sorted(self._built_in() | set(self._entries) | set(self._registered))

    def offered_by(self, name: str) -> str:
        """The package that offers `name` as an entry point, with its version; empty for all others. Imports nothing.

        Raises `InputError` as `get` does for a name that is offered twice.
        """
        entry = self._entry(name)
        return _package_of(entry) if entry is not None else ""

    def get(self, name: str) -> type:
        """The class registered as `name`; raises `InputError` with the nearest name if there is none.

        It also raises `InputError` if a package offers the name of a built-in plug-in, or two packages one name.
        """
        if (entry := self._entry(name)) is not None:
            if name not in self._outside:
                self._outside[name] = self._load(entry)
            return self._outside[name]
        if name not in self._registered:
            if name not in self.names():
                near = get_close_matches(name, self.names(), n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise InputError(f"unknown {self.kind} {name!r}{hint} (known: {', '.join(self.names())})")
            importlib.import_module(f"{self._package}.{name}")
        if name not in self._registered:
            raise InputError(
                f"{self._package}.{name} registers no {self.kind} of that name; decorate its class with "
                f'@register("{name}")'
            )
        return self._registered[name]

    def _built_in(self) -> set[str]:
        """The names of the plug-ins that come with this package."""
        package: ModuleType = importlib.import_module(self._package)
        modules = {m.name for m in pkgutil.iter_modules(package.__path__) if not m.ispkg and m.name[0] != "_"}
        return modules - self._not_plugins

    @cached_property
    def _entries(self) -> dict[str, list[EntryPoint]]:
        """The entry points of other packages, by name."""
        found: dict[str, dict[tuple[str, str], EntryPoint]] = {}
        for entry in entry_points(group=self.group):  # a package on two paths is seen twice
            found.setdefault(entry.name, {})[_package_of(entry), entry.value] = entry
        return {name: list(offers.values()) for name, offers in found.items()}

    def _entry(self, name: str) -> EntryPoint | None:
        """The entry point `name`, None if there is none; `InputError` if the name is built in, or offered twice."""
        if not (offers := self._entries.get(name)):
            return None
        packages = [_package_of(entry) for entry in offers]
        if name in self._built_in():
            raise InputError(
                f"{self.kind} {name!r} is built in ({self._package}.{name}), and the package {packages[0]} offers "
                "another of that name; uninstall the package, or have it offer another name"
            )
        if len(offers) > 1:
            raise InputError(
                f"{self.kind} {name!r} is offered by {len(offers)} packages, {' and '.join(packages)}; uninstall all "
                "but one"
            )
        return offers[0]

    def _load(self, entry: EntryPoint) -> type:
        """The class behind an entry point, registered whether it is decorated or not."""
        plugin = entry.load()
        if not isinstance(plugin, type):
            raise InputError(f"the entry point {entry.name!r} of {self.group} must name a class: package.module:Class")
        return self.register(entry.name)(plugin)


def _package_of(entry: EntryPoint) -> str:
    """The package of an entry point, with its version."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "of unknown name"


def build(registry: Registry, name: Any, params: Mapping[str, Any], where: str) -> Any:
    """An instance of the plug-in `name` with `params`, checked as `leakfront.parameters.checked` does.

    where: the key of the config that errors name. Raises `InputError` for an unknown name or parameter (with the
    nearest known one), a parameter that is missing, a wrong type, and a value that the plug-in refuses.
    """
    plugin = find(registry, name, where)
    fields = [field for field in dataclasses.fields(plugin) if field.init]
    known = [field.name for field in fields]
    for key in params:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            known_text = ", ".join(known) or "none"
            raise InputError(f"{where}: {name!r} has no parameter {key!r}{hint} (its parameters: {known_text})")
    for field in fields:
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if field.name not in params and not has_default:
            raise InputError(f"{where}: {name!r} needs the parameter {field.name!r}")
    try:
        place = plugin.where() if issubclass(plugin, Plugin) else where
        return plugin(**checked(plugin, params, place))
    except InputError as error:
        has_place = str(error).startswith(f"{where}.")
        raise InputError(str(error) if has_place else f"{where}: {error}") from None
    except ValueError as error:  # a plug-in of another package need not know InputError
        raise InputError(f"{where}: {name!r} refuses these parameters: {error}") from error
    except (OSError, RuntimeError) as error:  # of a path that a parameter names
        cause = getattr(error, "strerror", None) or error
        raise InputError(f"{where}: {name!r} cannot be set up with these parameters: {cause}") from error


def find(registry: Registry, name: Any, where: str) -> type:
    """The class of the plug-in `name`; if there is none, `InputError` names the config's key `where`."""
    if not isinstance(name, str):
        raise InputError(f"{where} must have a key 'name' with the name of a {registry.kind}")
    try:
        return registry.get(name)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def parameters(plugin: Any) -> dict[str, Any]:
    """All parameters of a plug-in as JSON has them: lists for tuples."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(plugin)))
    return values


def default_values(plugin: type) -> dict[str, Any]:
    """The defaults of a plug-in's parameters, by name; a parameter without a default is left out."""
    return {f.name: f.default for f in dataclasses.fields(plugin) if f.default is not dataclasses.MISSING}
