"""Subjects: the people of whom a pool has several images. One coin, one score and one line of a count for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

SCORES = ("score", "extraction")  # arrays of scores: of the attack, and of what it extracts if that is another
NEIGHBOURS, HOW_FAR = "neighbours", "neighbour_scores"  # arrays of pool images near each sample
MATCHED = "matched_"  # begins the names of masks in an attack's arrays, perhaps after a prefix


@dataclass(frozen=True, eq=False)
class Subjects:
    """The subjects of a pool of P images that are compared. of: int64 [P], the subject of each image, 0 … S - 1.
    members: bool [S]. compared: bool [S]; arrays of subjects have one entry for each that is."""

    of: np.ndarray
    members: np.ndarray
    compared: np.ndarray

    @classmethod
    def judged(cls, of: np.ndarray, members: np.ndarray, matched: bool) -> Subjects:
        """The subjects of images, int64 [P], whose membership is bool [P].

        matched: compare as many members as decoys of each number of images, since the largest of many scores is larger.
        That is needed where membership is stated. Where coins are flipped for subjects, numbers of images are alike
        on both sides but for chance, and all are compared. Raises `ValueError` if a subject is on both sides.
        """
        sizes = np.bincount(of)
        of_members = np.bincount(of, weights=members).astype(np.int64)
        if ((of_members > 0) & (of_members < sizes)).any():
            raise ValueError("a subject has images on both sides")
        inside, compared = of_members > 0, np.ones(len(sizes), bool)
        for size in np.unique(sizes) if matched else ():
            sides = [np.flatnonzero((sizes == size) & (inside == side)) for side in (True, False)]
            fewer = min(map(len, sides))
            for side in sides:
                compared[side[fewer:]] = False
        return cls(of, inside, compared)

    @property
    def of_members(self) -> np.ndarray:
        """Whether each subject compared is a member, bool."""
        found: np.ndarray = self.members[self.compared]
        return found

    def score(self, score: np.ndarray) -> np.ndarray:
        """The score of each subject compared: the largest of its images' scores, float64 [P]."""
        largest = np.full(len(self.members), -np.inf)
        np.maximum.at(largest, self.of, score)
        found: np.ndarray = largest[self.compared]
        return found

    def arrays(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The scores of an attack, the masks of its rules, and the neighbours of samples, by subject.

        One matched image is enough. Neighbours that are images become subjects; one that is not compared is endlessly
        far from all samples.
        """
        found = {name: self.score(values) for name, values in arrays.items() if name.rpartition("/")[2] in SCORES}
        for name, values in arrays.items():
            if name.rpartition("/")[2].startswith(MATCHED):
                found[name] = self.score(values.astype(np.float64)) > 0
            how_far = f"{name.removesuffix(NEIGHBOURS)}{HOW_FAR}"
            if name.endswith(NEIGHBOURS) and how_far in arrays:
                who = self.of[values]
                found[name] = (np.cumsum(self.compared) - 1)[who].clip(0)
                found[how_far] = np.where(self.compared[who], arrays[how_far], np.inf)
        return found
