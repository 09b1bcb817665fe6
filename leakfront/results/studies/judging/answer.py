"""The answer to a study's question: what was expected, what was found, and whether the two agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from leakfront.errors import InputError
from leakfront.results.statistics.equivalence import equivalence_p_value
from leakfront.results.statistics.estimate import Estimate
from leakfront.results.statistics.expectation import (
    beyond_p_value,
    by_count,
    by_equivalence,
    by_interval,
    by_p_values,
)
from leakfront.results.statistics.holm import holm
from leakfront.results.statistics.splits import over_splits
from leakfront.results.studies import CannotJudge, Effect, Measured
from leakfront.results.studies.judging.data import StudyData

NOT_RESOLVED = "not resolved at this size"
NOT_JUDGED = "not judged"
P_LEVEL, INTERVAL_LEVEL = 0.01, 0.05  # of tests without and with an interval

Expected = Literal["above", "below", "equal", "either"]


@dataclass(frozen=True)
class Question:
    """What is asked of the rows, and what is expected; see `harness.settings.study.Question`."""

    asks: str
    effect: Effect
    expected: Expected
    margin: float = 0.0
    around: float = 0.0
    holds: bool = False


@dataclass(frozen=True)
class Answered:
    """A question with its answer.

    answer: agrees, disagrees, not resolved at this size, or not judged; without an expectation "above 0" or "below 0"
    in place of the first two. reason: why it is not judged. estimate: the effect over splits, None for p-values alone.
    p: the p-value of what was expected, two-sided for effects with an interval. adjusted: the same after Holm's
    correction over the studies of a report, for the first question of each. planned: the splits of the study's runs;
    an effect has fewer where a split lacks a number, as after a training that diverged.
    """

    question: Question
    answer: str
    reason: str = ""
    measured: Measured | None = None
    estimate: Estimate | None = None
    p: float = math.nan
    adjusted: float = math.nan
    planned: int = 0

    @property
    def shown(self) -> str:
        """The answer, with a remark where it does not survive the correction."""
        lost = self.answer == "agrees" and not math.isnan(self.adjusted) and not self.survives
        return f"{self.answer} (not after correction)" if lost else self.answer

    @property
    def level(self) -> float:
        """The level of the test behind the answer."""
        return P_LEVEL if self.estimate is None else INTERVAL_LEVEL

    @property
    def survives(self) -> bool:
        """Whether an answer that agrees also does after the correction for several studies."""
        return self.answer == "agrees" and self.adjusted < self.level


def answered(question: Question, data: StudyData) -> Answered:
    """The answer that the rows of a study give to one of its questions."""
    try:
        measured = question.effect.evaluate(data)
        if measured.count is not None:
            found = Answered(question, by_count(*measured.count, level=P_LEVEL), measured=measured)
        elif measured.p_values is not None:
            found = _by_p_values(question, measured)
        else:
            found = _by_effects(question, measured)
        return replace(found, planned=data.planned)
    except (CannotJudge, InputError) as error:  # InputError: stored arrays that cannot be read
        return Answered(question, NOT_JUDGED, str(error))


def _by_p_values(question: Question, measured: Measured) -> Answered:
    assert measured.p_values is not None
    if question.expected not in ("above", "below"):
        raise CannotJudge(f'{question.effect.name} has no interval, so expected must be "above" or "below"')
    rise, fall = measured.p_values
    if math.isnan(rise):
        raise CannotJudge(f"{question.effect.name} needs more splits or settings")
    p, opposite = (rise, fall) if question.expected == "above" else (fall, rise)
    return Answered(question, by_p_values(p, opposite, P_LEVEL), measured=measured, p=p)


def _by_effects(question: Question, measured: Measured) -> Answered:
    values, margin = np.array(list(measured.values.values())), question.margin
    nothing = np.full(len(values), np.nan)
    estimate = over_splits(values, nothing, nothing)
    if math.isnan(estimate.low):
        return Answered(question, NOT_RESOLVED, "the same value in all splits has no interval", measured, estimate)
    if question.expected == "equal":
        p = equivalence_p_value(values - question.around, margin)
        answer: str = by_equivalence(estimate, p, question.around, margin, INTERVAL_LEVEL, question.holds)
        p = math.nan if question.holds and answer == "disagrees" else p  # it is that of the margin alone
    elif question.expected == "either":
        p = min(beyond_p_value(values, "above", 0), beyond_p_value(values, "below", 0))
        answer = "above 0" if estimate.low > 0 else "below 0" if estimate.high < 0 else NOT_RESOLVED
    else:
        p = beyond_p_value(values, question.expected, margin)
        answer = by_interval(estimate, question.expected, margin)
    return Answered(question, answer, measured=measured, estimate=estimate, p=p)


@dataclass(frozen=True)
class StudyResult:
    """A study with the answers to its questions; the first is the study's own.

    name: of its config. title, statement, source, cannot, scale: its texts. note: on unfinished runs; empty for none.
    """

    name: str
    title: str
    statement: str
    source: str
    answers: tuple[Answered, ...]
    cannot: str = ""
    scale: str = ""
    note: str = ""

    @property
    def first(self) -> Answered:
        """The answer that counts as the study's."""
        return self.answers[0]


def corrected(studies: Sequence[StudyResult]) -> list[StudyResult]:
    """The studies of one report, with the p-value of each one's first question adjusted for their number."""
    adjusted = holm([study.first.p for study in studies])
    return [
        replace(study, answers=(replace(study.first, adjusted=float(p)), *study.answers[1:]))
        for study, p in zip(studies, adjusted, strict=True)
    ]
