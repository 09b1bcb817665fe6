"""The undefended model."""

from dataclasses import dataclass

from leakfront.defenses import Defense, register


@register("none")
@dataclass(frozen=True)
class NoDefense(Defense):
    """No defense: the baseline that every other one is compared with. It promises nothing."""

    covers = "–"
    summary = "the undefended model"
