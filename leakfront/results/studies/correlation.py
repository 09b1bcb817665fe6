"""Do two numbers rise together over settings?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import MinLen
from scipy import stats

from leakfront.results.studies import CannotJudge, Curve, Effect, Measured, Selector, Shown, register
from leakfront.results.studies.judging.data import StudyData, check_selector, metric_label


@register("correlation")
@dataclass(frozen=True)
class Correlation(Effect):
    """Spearman's rank correlation of two numbers over settings, in each split.

    x, y: the columns of the two numbers. cells: further columns for each setting.
    """

    summary = "Spearman's rank correlation of two numbers over settings"

    x: dict[str, Any]
    y: dict[str, Any]
    cells: Annotated[tuple[dict[str, Any], ...], MinLen(3)]

    def validate(self) -> None:
        for which in (self.x, self.y, *self.cells):
            check_selector(which, self.where())

    def selectors(self) -> list[Selector]:
        return [{**measure, **cell} for measure in (self.x, self.y) for cell in self.cells]

    def evaluate(self, data: StudyData) -> Measured:
        splits, table = data.table(self.selectors())
        x, y = np.split(table, 2, axis=1)
        if (np.ptp(x, axis=1) == 0).any() or (np.ptp(y, axis=1) == 0).any():
            raise CannotJudge("in some split one of the two numbers is the same at all settings")
        values = {s: float(stats.spearmanr(a, b).statistic) for s, a, b in zip(splits, x, y, strict=True)}
        shown = Shown(metric_label(self.x), metric_label(self.y), (Curve("", x, y),))
        return Measured(shown, len(splits), values)
