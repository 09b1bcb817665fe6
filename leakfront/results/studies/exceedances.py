"""How many bounds are exceeded, over all splits and models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from leakfront.results.studies import Curve, Effect, Measured, Selector, Shown, register
from leakfront.results.studies.judging.data import StudyData, check_selector, labels, metric_label


@register("exceedances")
@dataclass(frozen=True)
class Exceedances(Effect):
    """In how many splits and models a number is above a bound of the same model, such as an audit above its claim.

    measure, bound: the columns of both. cells: further columns for each model. No interval and no mean over splits: one
    violation among many models would vanish in it.
    """

    summary = "how many numbers are above a bound of the same model, over all splits and models"

    measure: dict[str, Any]
    bound: dict[str, Any]
    cells: tuple[dict[str, Any], ...] = ({},)

    def validate(self) -> None:
        for which in (self.measure, self.bound, *self.cells):
            check_selector(which, self.where())

    def selectors(self) -> list[Selector]:
        return [{**measure, **cell} for measure in (self.measure, self.bound) for cell in self.cells]

    def evaluate(self, data: StudyData) -> Measured:
        splits, table = data.table(self.selectors())
        numbers, bounds = np.split(table, 2, axis=1)
        names = labels(self.selectors()[: len(self.cells)])
        curves = tuple(
            Curve(str(which.get("source", "")), names, values)
            for which, values in ((self.measure, numbers), (self.bound, bounds))
        )
        shown = Shown("", metric_label(self.measure), curves)
        return Measured(shown, len(splits), count=(int((numbers > bounds).sum()), numbers.size))
