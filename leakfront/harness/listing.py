"""Print the available plug-ins, for `leakfront list`."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from rich.console import Console

from leakfront import attacks, datasets, defenses, models
from leakfront.attacks.suites import SUITES
from leakfront.harness.settings.file import bundled
from leakfront.registry import Registry
from leakfront.results import features, metrics

ROOMS: dict[str, Registry] = {
    "defenses": defenses.registry,
    "attacks": attacks.registry,
    "metrics": metrics.registry,
    "features": features.registry,
    "models": models.registry,
    "datasets": datasets.registry,
}


def print_listing(what: str | None) -> None:
    """Print the name and the summary of each plug-in, of one kind (then with parameters and defaults) or of all.

    Plug-ins of other packages are named with their package; they are not loaded.

    what: a key of `ROOMS`, or None for all.
    """
    console = Console(soft_wrap=True, highlight=False)
    for title, registry in ROOMS.items():
        if what not in (None, title):
            continue
        console.print(f"[bold]{title}[/bold]")
        width = max(map(len, registry.names())) + 2
        for name in registry.names():
            if package := registry.offered_by(name):
                console.print(f"  {name:<{width}}of {package}, loaded only where a config names it", markup=False)
                continue
            plugin: type[Any] = registry.get(name)
            summary = plugin.summary or (inspect.getdoc(plugin) or "").split("\n")[0]
            console.print(f"  {name:<{width}}{summary}", markup=False)
            if what is not None:
                if issubclass(plugin, attacks.Attack):
                    console.print(f"      access: {plugin.access}; shadow models: {plugin.shadows}", markup=False)
                for field in dataclasses.fields(plugin):
                    console.print(f"      {field.name} = {field.default!r}", markup=False)
    if what in (None, "attacks"):
        console.print("[bold]suites[/bold]")
        for name, suite in SUITES.items():
            console.print(f"  {name}: {', '.join(suite)}", markup=False)
    if what is None:
        console.print(f"[bold]benchmarks[/bold]\n  {', '.join(bundled())}")
