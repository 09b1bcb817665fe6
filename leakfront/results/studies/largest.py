"""The largest of one number over some models, compared with a constant or with another number of the same model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from leakfront.results.studies import Curve, Effect, Measured, Selector, Shown, register
from leakfront.results.studies.judging.data import StudyData, check_selector, labels, metric_label


@register("largest")
@dataclass(frozen=True)
class Largest(Effect):
    """The largest number of several models, or the only one of one model, in each split.

    measure: the columns of the number. cells: further columns for each model. minus: columns of a number of the same
    model that is subtracted. against: a constant that is subtracted. A largest number is higher than the expected one,
    so it speaks against an effect that is expected "below".
    """

    summary = "the largest number of some models, minus a constant or another number of theirs"

    measure: dict[str, Any]
    cells: tuple[dict[str, Any], ...] = ({},)
    minus: dict[str, Any] | None = None
    against: float = 0.0

    def validate(self) -> None:
        for which in (self.measure, *self.cells, self.minus or {}):
            check_selector(which, self.where())

    def selectors(self) -> list[Selector]:
        return self._of(self.measure) + (self._of(self.minus) if self.minus is not None else [])

    def _of(self, measure: dict[str, Any]) -> list[Selector]:
        return [{**measure, **cell} for cell in self.cells]

    def evaluate(self, data: StudyData) -> Measured:
        splits, table = data.table(self.selectors())
        count, names = len(self.cells), labels(self._of(self.measure))
        own, other = table[:, :count], table[:, count:]
        curves = [Curve(str(self.measure.get("source", "")), names, own)]
        level = self.against if self.minus is None else None
        if self.minus is not None:
            curves.append(Curve(str(self.minus.get("source", "")), names, other))
            own = own - other
        values = own.max(axis=1) - self.against
        shown = Shown("", metric_label(self.measure), tuple(curves), level=level)
        return Measured(shown, len(splits), dict(zip(splits, values.tolist(), strict=True)))
