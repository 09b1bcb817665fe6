"""The plug-ins that are there, for `leakfront list`."""

from __future__ import annotations

import dataclasses
import inspect

from rich.console import Console

import attacks
import defenses
import models
import results.features
import results.metrics
from leakfront.config import bundled
from leakfront.datasets import datasets
from leakfront.registry import Registry

ROOMS: dict[str, Registry] = {
    "defenses": defenses.registry,
    "attacks": attacks.registry,
    "metrics": results.metrics.registry,
    "features": results.features.registry,
    "models": models.registry,
    "datasets": datasets,
}


def print_listing(what: str | None) -> None:
    """Print names, one line on each and parameters with defaults, of one kind or of all."""
    console = Console(soft_wrap=True, highlight=False)
    for title, registry in ROOMS.items():
        if what not in (None, title):
            continue
        console.print(f"[bold]{title}[/bold]")
        for name in registry.names():
            plugin = registry.get(name)
            summary = getattr(plugin, "summary", "") or (inspect.getdoc(plugin) or "").split("\n")[0]
            console.print(f"  {name:<16}{summary}", markup=False)
            if what is not None:
                for field in dataclasses.fields(plugin):
                    console.print(f"      {field.name} = {field.default!r}", markup=False)
    if what is None:
        console.print(f"[bold]benchmarks[/bold]\n  {', '.join(bundled())}")
