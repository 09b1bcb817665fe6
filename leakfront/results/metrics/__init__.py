"""The utility metrics, one file each: features of generated and of real images -> one number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, ClassVar

from leakfront.errors import InputError
from leakfront.registry import Plugin, Registry
from leakfront.results.metrics.image_set import ImageSet
from leakfront.results.statistics.estimate import Estimate

registry = Registry(
    "metric", "leakfront.results.metrics", "leakfront.metrics", not_plugins={"at_number", "image_set", "manifold"}
)
register = registry.register

__all__ = ["Estimate", "ImageSet", "Metric", "metric_facts", "register", "registry", "row_metric", "row_name"]


class Metric(Plugin):
    """The base of every metric: a frozen dataclass of its parameters, each with a default.

    A metric overrides `minimum` and `estimate`. Class attributes: `higher_is_better`; `floor` and `ceiling`, the ends
    of the range that its values cannot leave (None: unbounded), at which intervals over splits are cut;
    `falls_with_images`, whether the expected value is a limit plus a constant over the number of generated images;
    `needs_labels`, whether it needs the classes of the images, so that a run without classes is refused early.
    """

    section: ClassVar[str] = "metrics"
    higher_is_better: ClassVar[bool]
    floor: ClassVar[float | None] = None
    ceiling: ClassVar[float | None] = None
    falls_with_images: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False

    def minimum(self, dimensions: int) -> int:
        """The fewest images on each side that the metric accepts for features of this many dimensions."""
        raise NotImplementedError

    def estimate(self, generated: ImageSet, real: ImageSet, seed: int) -> Estimate:
        """The metric of N_G generated against N_R real images, with a 95% interval; `seed` is for its random draws.

        Raises `InputError` below `minimum(d)` images on either side.
        """
        raise NotImplementedError

    def check_images(self, generated: ImageSet, real: ImageSet) -> None:
        """Raise `InputError` if either side has fewer than `minimum(d)` images."""
        needed = self.minimum(generated.dimensions)
        if min(len(generated), len(real)) < needed:
            raise InputError(
                f"{row_name(self)} of {generated.dimensions}-dimensional features needs at least {needed} images on "
                f"each side, got {len(generated)} generated and {len(real)} real"
            )


def row_name(metric: Metric) -> str:
    """The metric's name in rows: its own, then the parameters that differ from the defaults, as in "precision_k5"."""
    return "_".join([metric.name, *(f"{key}{value}" for key, value in changed_parameters(metric).items())])


def changed_parameters(metric: Metric) -> dict[str, Any]:
    """The parameters that differ from the defaults, in the order in which the class declares them."""
    values = {field.name: (getattr(metric, field.name), field.default) for field in fields(metric)}  # type: ignore[arg-type]
    return {name: value for name, (value, default) in values.items() if value != default}


def row_metric(metric: Metric, features: str) -> str:
    """The metric of a row: its name, then that of the features, as in "precision_k5_embedded"."""
    return f"{row_name(metric)}_{features}"


def metric_facts(metrics: Iterable[Metric], features: str) -> dict[str, dict[str, Any]]:
    """For run.json: the metric, its changed parameters and the features behind the metric of a row."""
    return {
        row_metric(metric, features): {
            "metric": metric.name,
            "params": changed_parameters(metric),
            "features": features,
        }
        for metric in metrics
    }
