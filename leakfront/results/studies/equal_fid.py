"""The difference of two kinds of model at equal FID."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from os.path import commonprefix
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import MinLen

from leakfront.results.statistics.matched import at_fid
from leakfront.results.studies import CannotJudge, Curve, Effect, Measured, Selector, Shown, register
from leakfront.results.studies.judging.data import StudyData, check_selector, metric_label

Cells = Annotated[tuple[dict[str, Any], ...], MinLen(2)]


@register("equal_fid")
@dataclass(frozen=True)
class EqualFID(Effect):
    """The number of `of` minus that of `minus` in each split, both read at one FID from their curves over settings.

    A curve is linear between its settings on a logarithmic FID axis, and nothing is extrapolated
    (`statistics.matched`). at: the FID of a split is the largest, or the smallest, that both its curves reach.
    measure: the columns of the number. fid: those of the FID. of, minus: further columns for each setting.
    """

    summary = "the difference of two curves over settings at equal FID"

    measure: dict[str, Any]
    of: Cells
    minus: Cells
    fid: dict[str, Any] = field(default_factory=lambda: {"source": "fid"})
    at: Literal["largest", "smallest"] = "largest"

    def validate(self) -> None:
        for which in (self.measure, self.fid, *self.of, *self.minus):
            check_selector(which, self.where())

    def selectors(self) -> list[Selector]:
        return [{**measure, **cell} for cells in (self.of, self.minus) for measure in (self.fid, self.measure)
                for cell in cells]  # fmt: skip

    def evaluate(self, data: StudyData) -> Measured:
        splits, table = data.table(self.selectors())
        first = 2 * len(self.of)
        (fid_of, of), (fid_minus, minus) = (np.split(part, 2, axis=1) for part in (table[:, :first], table[:, first:]))
        values = {}
        for split, *row in zip(splits, fid_of, of, fid_minus, minus, strict=True):
            target = self._target(row[0], row[2])
            difference = at_fid(row[0], row[1], target) - at_fid(row[2], row[3], target)
            if math.isfinite(difference):
                values[split] = difference
        if len(values) < 2:
            raise CannotJudge(f"the two curves share a FID in {len(values)} of {len(splits)} splits; 2 are needed")
        curves = (Curve(_name(self.minus), fid_minus, minus), Curve(_name(self.of), fid_of, of))
        shown = Shown(metric_label(self.fid), metric_label(self.measure), curves, logarithmic=True)
        return Measured(shown, len(values), values)

    def _target(self, of: np.ndarray, minus: np.ndarray) -> float:
        """The FID at which the curves are read; one that only one of them reaches gives no number."""
        largest, smallest = min(of.max(), minus.max()), max(of.min(), minus.min())
        return float(largest if self.at == "largest" else smallest)


def _name(cells: Cells) -> str:
    """What all settings of a curve share: how their runs' names begin, and the defense, but "none" beside a run."""
    run = commonprefix([str(cell.get("run", "")) for cell in cells]).rstrip("-_ ")  # noqa: RUF071  (letters are what is wanted)
    defenses = {cell.get("defense") for cell in cells}
    defense = str(defenses.pop() or "") if len(defenses) == 1 else ""
    return " ".join(filter(None, (run, "" if run and defense == "none" else defense)))
