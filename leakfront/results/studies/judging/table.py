"""All studies in one table, beside what their papers say."""

from __future__ import annotations

import math
from collections.abc import Sequence

from leakfront.results.run.value import Value
from leakfront.results.studies.judging.answer import Answered, StudyResult
from leakfront.results.studies.judging.sentences import expected_words
from leakfront.results.tables.table import Column, Entry, Table


def studies_table(studies: Sequence[StudyResult]) -> Table:
    """A line for each question, the first of each study with the correction for the number of studies."""
    lines = [(study, number, answer) for study in studies for number, answer in enumerate(study.answers)]

    def texts(key: str, title: str, found: Sequence[str]) -> Column:
        return Column(key, title, tuple(found))

    answers = [answer for _, _, answer in lines]
    return Table(
        (
            texts("study", "Study", [study.name if not number else "" for study, number, _ in lines]),
            texts("statement", "The paper", [study.statement if not number else "" for study, number, _ in lines]),
            texts("question", "Effect", [answer.question.asks for answer in answers]),
            texts("expected", "Expected", [expected_words(answer) for answer in answers]),
            Column("effect", "Found", tuple(map(_effect, answers))),
            Column(
                "splits",
                "Splits",
                tuple(_number(a.measured.splits if a.measured else None) for a in answers),
                decimals=0,
            ),
            Column("p", "p", tuple(_number(answer.p) for answer in answers)),
            Column("p_holm", "p (Holm)", tuple(_number(answer.adjusted) for answer in answers)),
            texts("answer", "Answer", [answer.shown for answer in answers]),
            texts("reason", "", [answer.reason for answer in answers]),
        ),
        (
            "The first line of a study is its answer; the others accompany it. Effects are means over splits with 95% "
            "t intervals, or a count; tests without an effect have a p-value alone. A split without one of the numbers "
            "is left out. p is that of what was expected, two-sided "
            "where there is an interval. Holm's correction is over the first lines.",
        ),
    )


def _effect(answer: Answered) -> Entry:
    if answer.measured is not None and answer.measured.count is not None:
        return Value(float(answer.measured.count[0]), math.nan, math.nan, answer.measured.count[1], "a count")
    if answer.estimate is None:
        return None
    value, low, high, method = answer.estimate
    return Value(value, low, high, answer.measured.splits if answer.measured else 0, method)


def _number(value: float | None) -> Entry:
    return None if value is None or value != value else Value(value, float("nan"), float("nan"), 0, "")
