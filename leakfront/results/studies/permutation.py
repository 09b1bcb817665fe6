"""Do the scores of members depend on a level that was assigned to each image at random, the same in every split?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge

from leakfront.results.run.per_image import SCORE, per_image
from leakfront.results.statistics.permutation import permutation_p_values
from leakfront.results.studies import CannotJudge, Curve, Effect, Measured, Selector, Shown, register
from leakfront.results.studies.judging.data import StudyData, check_selector


@register("permutation")
@dataclass(frozen=True)
class Permutation(Effect):
    """An exact test: the levels are dealt anew to the images (`statistics.permutation`).

    An image has one level in all splits, so its scores of those splits in which it is a member are summed, less each
    split's mean over members, and it is dealt one level. (Levels dealt anew in each split by itself would take an image
    that is easy in every split for as many observations of its level.)

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
        import pandas as pd

        tables = []
        for run, cell in data.cells(self.cell):
            table = per_image(run, cell)
            if missing := {self.level, f"{SCORE}{self.attack}"} - set(table.columns):
                raise CannotJudge(f"{' and '.join(sorted(missing))} of single images are not known")
            found = table[table["member"]].rename(columns={self.level: "level", f"{SCORE}{self.attack}": "score"})
            tables.append(found[["image", "level", "score"]].assign(split=cell.split))
        members = pd.concat(tables, ignore_index=True).astype({"level": float, "score": float})
        if not np.isfinite(members["score"]).all() or members["level"].nunique() == 1:
            raise CannotJudge(f"the scores of {self.attack} are not finite, or all images have one {self.level}")
        if (members.groupby("image")["level"].nunique() > 1).any():
            raise CannotJudge(f"the {self.level} of an image is not the same in all splits")
        centred = members["score"] - members.groupby("split")["score"].transform("mean")
        of_images = members.assign(score=centred).groupby("image").agg(score=("score", "sum"), level=("level", "first"))
        level = of_images["level"].to_numpy()
        p_values = permutation_p_values(
            of_images["score"].to_numpy(), np.log2(level) if self.log else level, np.zeros(len(level)), self.draws
        )
        means = members.pivot_table("score", "split", "level")
        curve = Curve("", means.columns.to_numpy(), means.to_numpy())
        shown = Shown(self.level, f"mean score of {self.attack}", (curve,), logarithmic=self.log)
        return Measured(shown, len(tables), p_values=p_values)
