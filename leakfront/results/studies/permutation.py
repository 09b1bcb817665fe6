"""Do the scores of members depend on a level that was assigned to each image at random?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge

from leakfront.results.run.per_image import SCORE, per_image
from leakfront.results.statistics.permutation import permutation_p_values
from leakfront.results.studies import CannotJudge, Curve, Effect, Measured, Selector, Shown, register
from leakfront.results.studies.judging.data import StudyData, check_selector, named


@register("permutation")
@dataclass(frozen=True)
class Permutation(Effect):
    """An exact test within each training: the levels of its members are dealt anew (`statistics.permutation`).

    attack: the label of the attack whose scores are tested. level: a column of per_image.csv with the levels of images,
    such as "copies", which were assigned at random. log: take their base-2 logarithm. cell: columns that choose the
    trained models, one for each split.
    """

    summary = "an exact permutation test of scores against levels assigned at random"

    attack: str
    cell: dict[str, Any]
    level: str = "copies"
    log: bool = True
    draws: Annotated[int, Ge(1)] = 10_000

    def validate(self) -> None:
        check_selector(self.cell, f"{self.where()}.cell")

    def selectors(self) -> list[Selector]:
        return [{"source": self.attack, **self.cell}]

    def evaluate(self, data: StudyData) -> Measured:
        scores, levels, splits = [], [], []
        for run, cell in data.cells(self.cell):
            table = per_image(run, cell)
            if missing := {self.level, f"{SCORE}{self.attack}"} - set(table.columns):
                raise CannotJudge(f"{' and '.join(sorted(missing))} of single images are not known")
            members = table[table["member"]]
            scores.append(members[f"{SCORE}{self.attack}"].to_numpy(np.float64))
            levels.append(members[self.level].to_numpy(np.float64))
            splits.append(np.full(len(members), int(cell.split)))
        if len(set(map(int, np.concatenate(splits)))) < len(splits):
            raise CannotJudge(f"several models of one split have {named(self.cell)}")
        score, level, split = map(np.concatenate, (scores, levels, splits))
        if not np.isfinite(score).all() or np.ptp(level) == 0:
            raise CannotJudge(f"the scores of {self.attack} are not finite, or all images have one {self.level}")
        p_values = permutation_p_values(score, np.log2(level) if self.log else level, split, self.draws)
        at = np.unique(level)
        means = np.array([[_mean(s[x == one]) for one in at] for s, x in zip(scores, levels, strict=True)])
        shown = Shown(self.level, f"mean score of {self.attack}", (Curve("", at, means),), logarithmic=self.log)
        return Measured(shown, len(scores), p_values=p_values)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
