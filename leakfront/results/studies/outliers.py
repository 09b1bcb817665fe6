"""Are images that lie apart from the others given away more easily?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from scipy.spatial import KDTree
from scipy.stats import rankdata

from leakfront.results.statistics.permutation import permutation_p_values
from leakfront.results.studies import CannotJudge, Curve, Effect, Measured, Selector, Shown, register
from leakfront.results.studies.judging.data import StudyData, check_selector


@register("outliers")
@dataclass(frozen=True)
class Outliers(Effect):
    """Whether an attack's AUC rises with the images' distance to the others, by permuting the coins.

    Each image of the pool has a distance, blind to the coins: the mean root mean square difference to its `neighbours`
    nearest other images. `groups` of equal size are made of it (5: quintiles), and the AUC of each group compares its
    own members and decoys alone. The statistic is the slope of the AUC over groups, summed over splits; the coins are
    dealt anew within each group of each split (`statistics.permutation`). That is exact if no image leaks. If all leak
    alike the expected slope is 0 too, and its spread about that of the permutations. attack: its label. cell: columns
    that choose the trained models, one for each split.
    """

    summary = "a permutation test of whether an attack's AUC rises with the images' distance to the others"

    attack: str
    cell: dict[str, Any]
    neighbours: Annotated[int, Ge(1)] = 5
    groups: Annotated[int, Ge(2)] = 5
    draws: Annotated[int, Ge(1)] = 10_000

    def validate(self) -> None:
        check_selector(self.cell, f"{self.where()}.cell")

    def selectors(self) -> list[Selector]:
        return [{"source": self.attack, **self.cell}]

    def evaluate(self, data: StudyData) -> Measured:
        scores, levels, strata, aucs = [], [], [], []
        for number, (run, cell) in enumerate(data.cells(self.cell)):
            images, members = run.pool_of(cell)["images"], run.members(cell)
            if len(images) <= self.neighbours:
                raise CannotJudge(f"a pool of {len(images)} images has no {self.neighbours} nearest others")
            group = grouped(apart(images, self.neighbours), self.groups)
            of_cell = run.scores(cell, self.attack)["score"]
            parts = [auc_parts(of_cell[group == g], members[group == g]) for g in range(self.groups)]
            scores += parts
            strata += [np.full(len(part), number * self.groups + g) for g, part in enumerate(parts)]
            levels += [members[group == g] * (g - (self.groups - 1) / 2) for g in range(self.groups)]
            aucs.append([0.5 + part[members[group == g]].sum() for g, part in enumerate(parts)])
        score, level, stratum = map(np.concatenate, (scores, levels, strata))
        p_values = permutation_p_values(score, level, stratum, self.draws)
        label = f"group by distance to the {self.neighbours} nearest images, nearest first"
        names = tuple(map(str, range(1, self.groups + 1)))
        shown = Shown(label, f"AUC of {self.attack}", (Curve("", names, np.array(aucs)),), level=0.5)
        return Measured(shown, len(aucs), p_values=p_values)


def apart(images: np.ndarray, neighbours: int) -> np.ndarray:
    """The mean root mean square difference of each image, uint8 [P, ...], to its nearest others, float64 [P]."""
    flat = images.reshape(len(images), -1).astype(np.float64) / 255
    distances = np.asarray(KDTree(flat).query(flat, k=neighbours + 1)[0])  # itself, or an equal image, is the nearest
    found: np.ndarray = distances[:, 1:].mean(axis=1) / np.sqrt(flat.shape[1])
    return found


def grouped(distances: np.ndarray, groups: int) -> np.ndarray:
    """The group of each image, 0 for the smallest distances, int64 [P]; their sizes differ by one at most."""
    order = np.argsort(distances, kind="stable")
    group = np.empty(len(order), np.int64)
    group[order] = np.arange(len(order)) * groups // len(order)
    return group


def auc_parts(score: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Numbers of images, float64 [N], whose sum over the members is the AUC minus one half, and over all images 0.

    Raises `CannotJudge` without both members and decoys.
    """
    inside = int(members.sum())
    if not 0 < inside < len(members):
        raise CannotJudge("a group of images has no members, or no decoys")
    parts: np.ndarray = (rankdata(score) - (len(score) + 1) / 2) / (inside * (len(score) - inside))
    return parts
