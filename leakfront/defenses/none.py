"""The undefended model."""

from dataclasses import dataclass

from leakfront.defenses import Defense, register


@register("none")
@dataclass(frozen=True)
class NoDefense(Defense):
    """No defense: the baseline for all comparisons. It gives no guarantee."""

    covers = "–"
    summary = "the undefended model"
