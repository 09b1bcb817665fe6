"""Does a number rise from one setting to the next?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import MinLen

from leakfront.results.statistics.trend import trend_p_values
from leakfront.results.studies import Curve, Effect, Measured, Selector, Shown, register
from leakfront.results.studies.judging.data import StudyData, check_selector, labels, metric_label


@register("trend")
@dataclass(frozen=True)
class Trend(Effect):
    """Page's test over the settings in their order, with splits as blocks (`statistics.trend`).

    measure: the columns of the number. cells: further columns for each setting.
    """

    summary = "Page's test of a trend over settings"

    measure: dict[str, Any]
    cells: Annotated[tuple[dict[str, Any], ...], MinLen(3)]

    def validate(self) -> None:
        for which in (self.measure, *self.cells):
            check_selector(which, self.where())

    def selectors(self) -> list[Selector]:
        return [{**self.measure, **cell} for cell in self.cells]

    def evaluate(self, data: StudyData) -> Measured:
        splits, table = data.table(self.selectors())
        shown = Shown("", metric_label(self.measure), (Curve("", labels(self.selectors()), table),))
        return Measured(shown, len(splits), p_values=trend_p_values(table))
