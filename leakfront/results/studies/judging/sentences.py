"""A study's answer in one sentence, with its numbers."""

from __future__ import annotations

import math

from leakfront.results.studies.judging.answer import NOT_JUDGED, Answered, Question
from leakfront.results.tables.table import number


def expectation(question: Question) -> str:
    """What was expected: "below −10", "1 ± 0.5", "a rise", or "nothing"."""
    if question.expected == "either":
        return "nothing"
    if question.expected == "equal":
        held = ", and an interval that holds it" if question.holds else ""
        return f"{number(question.around)} ± {number(question.margin)}{held}"
    return f"{question.expected} {number(question.margin)}"


def found(answered: Answered) -> str:
    """What was found: "−17.2 [−22.1, −12.3] over 5 splits", or "p = 0.0002 over 5 splits"; empty for nothing."""
    if answered.measured is None:
        return ""
    used, planned = answered.measured.splits, answered.planned
    left_out = f" of {planned}" if planned > used else ""
    splits = f"over {used}{left_out} splits" + (", since the others lack a number" if left_out else "")
    if answered.measured.count is not None:
        count, of = answered.measured.count
        return f"{count} of {of:,} {splits}"
    if answered.estimate is None:
        return f"{_p(answered.p)} {splits}"
    value, low, high, _ = answered.estimate
    ends = "" if math.isnan(low) else f" [{number(low)}, {number(high)}]"
    return f"{number(value)}{ends} {splits}"


def expected_words(answered: Answered) -> str:
    """The expectation in words; a test without an interval has no margin."""
    question = answered.question
    if answered.measured is not None and answered.measured.count is not None:
        return "none"
    if answered.measured is not None and answered.estimate is None:
        return "a rise" if question.expected == "above" else "a fall"
    return expectation(question)


def sentence(answered: Answered, studies: int = 1) -> str:
    """The answer with its numbers: "Agrees: images extracted, …, −17.2 [−22.1, −12.3] over 5 splits; expected …".

    studies: how many first questions the correction is over; 1 for none.
    """
    asks, answer = answered.question.asks, f"{answered.answer[:1].upper()}{answered.answer[1:]}"
    if answered.answer == NOT_JUDGED:
        return f"{answer}: {asks}; {answered.reason}."
    numbers = f"{asks}, {found(answered)}; expected {expected_words(answered)}"
    why = f", since {answered.reason}" if answered.reason else ""
    if math.isnan(answered.adjusted) or studies < 2:
        return f"{answer}{why}: {numbers}."
    after = f" ({_p(answered.p)}, {number(answered.adjusted)} after Holm's correction over {studies} studies)"
    if answered.answer == "agrees" and not answered.survives:
        after += ", which alone would not be evidence among so many studies"
    return f"{answer}{why}: {numbers}{after}."


def _p(p: float) -> str:
    return "p < 0.0001" if p < 0.0001 else f"p = {number(p)}"
