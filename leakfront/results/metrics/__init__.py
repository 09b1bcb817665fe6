"""The utility metrics, one file each: sets of generated and of real images -> one number."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar, NamedTuple, Protocol

from leakfront.registry import Registry
from leakfront.results.metrics.image_set import ImageSet

registry = Registry("metric", "leakfront.results.metrics", "leakfront.metrics", not_plugins={"manifold", "image_set"})
register = registry.register


class Estimate(NamedTuple):
    """A value with its 95% interval and how the interval was made."""

    value: float
    low: float
    high: float
    method: str


class Metric(Protocol):
    """A frozen dataclass of the metric's parameters, each with a default.

    One that cannot do without labels has `needs_labels = True`, and is refused early where there are none.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    higher_is_better: ClassVar[bool]

    def minimum(self, dimensions: int) -> int:
        """The fewest images on each side that the metric accepts for features of this many dimensions."""

    def estimate(self, generated: ImageSet, real: ImageSet, seed: int) -> Estimate:
        """From the features of both sets, and their labels where the metric needs them."""


def row_name(metric: Any) -> str:
    """What rows call a metric: its name, with the parameters that are not its defaults, as in "precision_k5"."""
    changed = [(f.name, value) for f in fields(metric) if (value := getattr(metric, f.name)) != f.default]
    return "_".join([metric.name, *(f"{key}{value}" for key, value in changed)])
