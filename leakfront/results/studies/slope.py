"""How a number changes when a setting doubles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, MinLen

from leakfront.errors import InputError
from leakfront.results.studies import CannotJudge, Curve, Effect, Measured, Selector, Shown, register
from leakfront.results.studies.judging.data import StudyData, check_selector, metric_label


@register("slope")
@dataclass(frozen=True)
class Slope(Effect):
    """The slope of a number on the base-2 logarithm of a setting, by least squares in each split.

    measure: the columns of the number. cells: further columns for each setting. at: the settings, of which there are at
    least two different ones. log: also take the logarithm of the number, so that the slope is the exponent of a power
    law.
    """

    summary = "the slope of a number on the logarithm of a setting"

    measure: dict[str, Any]
    cells: Annotated[tuple[dict[str, Any], ...], MinLen(2)]
    at: Annotated[tuple[Annotated[float, Gt(0)], ...], MinLen(2)]
    log: bool = False

    def validate(self) -> None:
        for which in (self.measure, *self.cells):
            check_selector(which, self.where())
        if len(self.cells) != len(self.at) or len(set(self.at)) < 2:
            raise InputError(
                f"{self.where()}: cells and at must be of equal length, with at least 2 different settings"
            )

    def selectors(self) -> list[Selector]:
        return [{**self.measure, **cell} for cell in self.cells]

    def evaluate(self, data: StudyData) -> Measured:
        splits, table = data.table(self.selectors())
        if self.log and not (table > 0).all():
            raise CannotJudge("a logarithm is asked for, and not all numbers are above 0")
        x = np.log2(self.at) - np.log2(self.at).mean()
        y = np.log2(table) if self.log else table
        slopes = y @ x / (x @ x)
        curve = Curve("", np.array(self.at), table)
        shown = Shown("", metric_label(self.measure), (curve,), logarithmic=True)
        return Measured(shown, len(splits), dict(zip(splits, slopes.tolist(), strict=True)))
