"""One model's number minus another's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from leakfront.results.studies import Curve, Effect, Measured, Selector, Shown, register
from leakfront.results.studies.judging.data import StudyData, check_selector, labels, metric_label


@register("difference")
@dataclass(frozen=True)
class Difference(Effect):
    """The number of `of` minus `factor` times that of `minus`, in each split.

    measure: the columns that both share; `of` and `minus` may change or add some.
    """

    summary = "one model's number minus another's"

    measure: dict[str, Any]
    of: dict[str, Any]
    minus: dict[str, Any]
    factor: float = 1.0

    def validate(self) -> None:
        for name in ("measure", "of", "minus"):
            check_selector(getattr(self, name), f"{self.where()}.{name}")

    def selectors(self) -> list[Selector]:
        return [{**self.measure, **self.minus}, {**self.measure, **self.of}]

    def evaluate(self, data: StudyData) -> Measured:
        splits, table = data.table(self.selectors())
        values = table[:, 1] - self.factor * table[:, 0]
        shown = Shown("", metric_label(self.measure), (Curve("", labels(self.selectors()), table),))
        return Measured(shown, len(splits), dict(zip(splits, values.tolist(), strict=True)))
