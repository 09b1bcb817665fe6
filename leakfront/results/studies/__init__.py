"""Studies: an expectation written beforehand, an effect in each split, and whether the two agree.

An effect is one file here. It reads rows (or stored scores) and gives one number for each split, or the p-values of a
test; `judging` holds what all studies share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from leakfront.registry import Plugin, Registry
from leakfront.results.studies.judging.data import CannotJudge, Selector, StudyData

__all__ = [
    "CannotJudge", "Curve", "Effect", "Measured", "Selector", "Shown", "StudyData", "effects", "register",
]  # fmt: skip

effects = Registry("effect", "leakfront.results.studies", "leakfront.effects")
register = effects.register


@dataclass(frozen=True)
class Curve:
    """Numbers behind an effect, for its figure: a line for each split.

    x: names [K], or numbers, float [K] or [S, K]. y: float [S, K], one row for each split.
    """

    name: str
    x: tuple[str, ...] | np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Shown:
    """What the figure of an effect shows. logarithmic, logarithmic_y: the axes. level: a horizontal line to compare
    with, None for none."""

    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    logarithmic: bool = False
    logarithmic_y: bool = False
    level: float | None = None


@dataclass(frozen=True)
class Measured:
    """What an effect found.

    shown: the numbers behind it. values: the effect of each split, for effects with an interval over splits.
    p_values: (of a rise, of a fall), one-sided, for tests without an interval. count: how many of how many bounds are
    exceeded, for an effect that counts them. splits: their number.
    """

    shown: Shown
    splits: int
    values: Mapping[str, float] = field(default_factory=dict)
    p_values: tuple[float, float] | None = None
    count: tuple[int, int] | None = None


class Effect(Plugin):
    """How one number per split, or the p-values of a test, follow from the rows of a study's runs.

    Tables of columns choose rows: `source`, `metric`, `level`, `defense`, `params` and, in a study with arms, `run`,
    the arm. A column that is not named may have any value, if that leaves one row for each split.
    """

    section: ClassVar[str] = "study.questions"

    def selectors(self) -> list[Selector]:
        """All tables of columns that it reads, complete, so that a plan can be checked for them."""
        raise NotImplementedError

    def evaluate(self, data: StudyData) -> Measured:
        """The effect. Raises `CannotJudge`."""
        raise NotImplementedError
