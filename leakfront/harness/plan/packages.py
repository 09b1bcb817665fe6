"""The plug-ins of other packages that a run uses, with the package and version of each."""

from __future__ import annotations

from collections.abc import Iterator

from leakfront import attacks, datasets, defenses, models
from leakfront.errors import InputError
from leakfront.harness.plan.plan import Plan
from leakfront.registry import Registry
from leakfront.results import features, metrics
from leakfront.results.figures import figures


def packages_of(plan: Plan) -> dict[str, str]:
    """By kind and name, the package and version: {"attack reconstruction": "leakfront-toy 0.1"}."""
    found = {f"{registry.kind} {name}": registry.offered_by(name) for registry, name in _used(plan)}
    return {plugin: package for plugin, package in found.items() if package}


def check_figures(names: tuple[str, ...]) -> None:
    """Raise `InputError` for a figure that no package offers; none is loaded before the report is drawn."""
    for name in names:
        if name not in figures.names() or not figures.offered_by(name):
            others = [known for known in figures.names() if figures.offered_by(known)]
            raise InputError(
                f"figures has {name!r}; it must be a figure of another package (known: {', '.join(others) or 'none'}); "
                "those that are built in are always drawn"
            )


def _used(plan: Plan) -> Iterator[tuple[Registry, str]]:
    yield models.registry, plan.model.name
    yield datasets.registry, plan.dataset.name
    yield features.registry, plan.extractor.name
    yield from ((metrics.registry, metric.name) for metric in plan.metrics)
    yield from ((attacks.registry, attack.name) for attack in plan.attacks.values())
    yield from ((defenses.registry, layer.name) for point in plan.points for layer in point.stack)
    yield from ((figures, name) for name in plan.config.figures)
