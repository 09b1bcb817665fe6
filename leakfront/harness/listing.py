"""The available plug-ins, for `leakfront list`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from leakfront import attacks
from leakfront.attacks.suites import SUITES
from leakfront.configs import bundled, bundled_studies
from leakfront.harness.rooms import ROOMS
from leakfront.harness.schema.parameters import parameter_schemas, required_parameters
from leakfront.registry import find
from leakfront.version import __version__

_FACTS = ("access", "shadows", "acts_on", "covers")  # of attacks, and of defenses


@dataclasses.dataclass(frozen=True)
class Listed:
    """A plug-in by its name. package: of another package, with its version, else empty. plugin: None if not loaded."""

    name: str
    package: str
    plugin: type[Any] | None

    @property
    def summary(self) -> str:
        """One line on it."""
        if self.plugin is None:
            return f"of {self.package}, loaded only where a config names it"
        return self.plugin.summary or (inspect.getdoc(self.plugin) or "").split("\n")[0]


def listed(what: str | None, name: str | None = None) -> dict[str, list[Listed]]:
    """The plug-ins by room: of one room, or of all; one plug-in, or all.

    Plug-ins of other packages are not loaded, unless by name. what: a key of `ROOMS`, or None for all. Raises
    `InputError` for a name that the room does not have.
    """
    return {room: list(_listed(room, name)) for room in ROOMS if what in (None, room)}


def _listed(room: str, name: str | None) -> Iterator[Listed]:
    registry = ROOMS[room]
    if name is not None:
        yield Listed(name, registry.offered_by(name), find(registry, name, f"list {room}"))
        return
    for each in registry.names():
        package = registry.offered_by(each)
        yield Listed(each, package, None if package else registry.get(each))


def listing(what: str | None = None, name: str | None = None) -> dict[str, Any]:
    """The same as JSON holds it, with suites and benchmarks. what, name: as in `listed`.

    A plug-in has `name`, `summary`, `package` with its version, and `parameters`: each with its `name`, whether it is
    `required`, its `default`, and its type and range in the words of JSON Schema. Summary and parameters of a plug-in
    that is not loaded are null.
    """
    found: dict[str, Any] = {room: [_described(one) for one in plugins] for room, plugins in listed(what, name).items()}
    if what in (None, "attacks") and name is None:
        found["suites"] = SUITES
    if what is None:
        found["benchmarks"] = bundled()
        found["studies"] = bundled_studies()
    return found


def _described(one: Listed) -> dict[str, Any]:
    about = {"name": one.name, "package": one.package or f"leakfront {__version__}"}
    if one.plugin is None:
        return {**about, "summary": None, "parameters": None}
    required = required_parameters(one.plugin)
    parameters = [
        {"name": key, "required": key in required, **({} if key in required else {"default": None}), **schema}
        for key, schema in parameter_schemas(one.plugin).items()
    ]
    facts = {fact: value for fact in _FACTS if isinstance(value := getattr(one.plugin, fact, None), str)}
    return {**about, "summary": one.summary, **facts, "parameters": parameters}


def print_listing(what: str | None, name: str | None = None) -> None:
    """Print the name and the summary of each plug-in; of one room or one plug-in, with parameters and defaults.

    what, name: as in `listed`.
    """
    console = Console(soft_wrap=True, highlight=False)
    for title, plugins in listed(what, name).items():
        console.print(f"[bold]{title}[/bold]")
        width = max(len(one.name) for one in plugins) + 2
        for one in plugins:
            console.print(f"  {one.name:<{width}}{one.summary}", markup=False)
            if what is None or one.plugin is None:
                continue
            plugin: type[Any] = one.plugin
            if issubclass(plugin, attacks.Attack):
                console.print(f"      access: {plugin.access}; shadow models: {plugin.shadows}", markup=False)
            for field in dataclasses.fields(plugin):
                console.print(f"      {_shown(field)}", markup=False)
    if what in (None, "attacks") and name is None:
        console.print("[bold]suites[/bold]")
        for suite, chosen in SUITES.items():
            console.print(f"  {suite}: {', '.join(chosen)}", markup=False)
    if what is None:
        console.print(f"[bold]benchmarks[/bold]\n  {', '.join(bundled())}")
        console.print(f"[bold]studies[/bold]\n  {', '.join(bundled_studies())}")


def _shown(field: dataclasses.Field[Any]) -> str:
    return f"{field.name}, to be given" if field.default is dataclasses.MISSING else f"{field.name} = {field.default!r}"
