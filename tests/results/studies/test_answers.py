"""The answers of studies in all directions, and the report over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from leakfront.results.statistics.expectation import beyond_p_value
from leakfront.results.statistics.holm import holm
from leakfront.results.studies.difference import Difference
from leakfront.results.studies.exceedances import Exceedances
from leakfront.results.studies.judging.answer import Answered, Question, StudyResult, answered, corrected
from leakfront.results.studies.judging.sentences import sentence
from leakfront.results.studies.judging.table import studies_table
from leakfront.results.studies.trend import Trend
from tests.results.studies.made_up import rows, study

EFFECT = Difference(measure={"metric": "auc"}, of={"defense": "a"}, minus={"defense": "b"})
CELLS = tuple({"defense": name} for name in "abc")


def judged(values: Sequence[float], expected: Any, margin: float = 0.0, around: float = 0.0) -> Answered:
    question = Question("a minus b", EFFECT, expected, margin, around)
    return answered(question, study(run=rows({"a": values, "b": [0.0] * len(values)})))


@pytest.mark.parametrize(
    ("values", "expected", "margin", "answer"),
    [
        ([-20, -22, -18], "below", -10, "agrees"),
        ([-12, -22, -18], "below", -10, "not resolved at this size"),
        ([20, 22, 18], "below", -10, "disagrees"),
        ([20, 22, 18], "above", 5, "agrees"),
        ([4, 4.2, 3.9], "above", 5, "not resolved at this size"),
        ([-4, -4.2, -3.9], "above", 0, "disagrees"),
        ([0.1, -0.1, 0.05, 0.0], "equal", 1, "agrees"),
        ([5.1, 4.9, 5.05, 5.0], "equal", 1, "disagrees"),
        ([1.1, 0.9, 1.05, 0.6], "equal", 1, "not resolved at this size"),
        ([5.1, 4.9, 5.05], "either", 0, "above 0"),
        ([-5.1, -4.9, -5.05], "either", 0, "below 0"),
        ([-5.1, 4.9, 5.05], "either", 0, "not resolved at this size"),
        ([-20, -20, -20], "below", -10, "not resolved at this size"),
        ([-20, math.nan, math.nan], "below", -10, "not judged"),
    ],
)
def test_an_answer_follows_from_the_interval(values: list[float], expected: str, margin: float, answer: str) -> None:
    assert judged(values, expected, margin).answer == answer


def test_equal_can_be_around_another_number_than_0() -> None:
    assert judged([1.1, 0.9, 1.05, 1.0], "equal", 0.5, around=1.0).answer == "agrees"


def test_equal_may_ask_for_an_interval_that_holds_the_number() -> None:
    """1.2 to 1.3 is 1 ± 0.5, but not 1."""
    values = [1.2, 1.3, 1.25, 1.26]
    assert judged(values, "equal", 0.5, around=1.0).answer == "agrees"
    question = Question("a minus b", EFFECT, "equal", 0.5, 1.0, holds=True)
    made = study(run=rows({"a": values, "b": [0.0] * 4}))
    found = answered(question, made)
    assert (found.answer, math.isnan(found.p)) == ("disagrees", True)
    near = study(run=rows({"a": [0.9, 1.2, 1.1, 1.0], "b": [0.0] * 4}))
    assert answered(question, near).answer == "agrees"
    wide = study(run=rows({"a": [0.4, 1.9, 1.1, 0.8], "b": [0.0] * 4}))
    assert answered(question, wide).answer == "not resolved at this size"


def test_a_split_without_a_number_is_said() -> None:
    found = judged([-20, -22, math.nan, -18, -21], "below", -10)
    assert found.answer == "agrees"
    assert "over 4 of 5 splits, since the others lack a number" in sentence(found)


def test_bounds_that_are_exceeded_are_counted_over_all_splits_and_models() -> None:
    effect = Exceedances(
        measure={"metric": "audited"}, bound={"metric": "claimed"}, cells=({"defense": "a"}, {"defense": "b"})
    )
    claimed = rows({"a": [1.0] * 5, "b": [2.0] * 5}, metric="claimed")

    def with_audits(a: list[float]) -> Answered:
        audited = rows({"a": a, "b": [0.5] * 5}, metric="audited")
        return answered(Question("audits above the claim", effect, "below"), study(run=[*claimed, *audited]))

    never = with_audits([0.0] * 5)
    assert (never.answer, never.measured and never.measured.count) == ("agrees", (0, 10))
    assert sentence(never) == "Agrees: audits above the claim, 0 of 10 over 5 splits; expected none."
    assert with_audits([0, 0, 0, 0, 1.5]).answer == "not resolved at this size"  # 1 of 10 happens by chance
    assert with_audits([0, 0, 1.5, 1.5, 1.5]).answer == "not resolved at this size"
    assert stats.binom.sf(3, 10, 0.05) < 0.01 < stats.binom.sf(2, 10, 0.05)
    assert with_audits([0, 1.5, 1.5, 1.5, 1.5]).answer == "disagrees"


def test_the_interval_is_students_t_and_its_p_value_belongs_to_it() -> None:
    values = [-12.0, -22.0, -18.0, -15.0, -19.0]
    found = judged(values, "below", -10)
    half = stats.t.ppf(0.975, 4) * np.std(values, ddof=1) / math.sqrt(5)
    assert found.estimate is not None
    assert found.estimate[:3] == pytest.approx((-17.2, -17.2 - half, -17.2 + half))
    assert beyond_p_value(values, "below", -17.2 + half) == pytest.approx(0.05)
    assert found.p == beyond_p_value(values, "below", -10)


@pytest.mark.parametrize(("expected", "answer"), [("above", "agrees"), ("below", "disagrees")])
def test_a_test_without_an_interval_answers_by_its_p_values(expected: Any, answer: str) -> None:
    made = rows({name: [k + 0.1 * split for split in range(5)] for k, name in enumerate("abc")})
    found = answered(Question("rises", Trend(measure={}, cells=CELLS), expected), study(run=made))
    assert found.answer == answer
    equal = rows({name: [(k + split) % 3 for split in range(6)] for k, name in enumerate("abc")})
    found = answered(Question("rises", Trend(measure={}, cells=CELLS), expected), study(run=equal))
    assert found.answer == "not resolved at this size"


def test_a_test_without_an_interval_needs_a_direction() -> None:
    made = rows({name: [0.1, 0.2] for name in "abc"})
    found = answered(Question("?", Trend(measure={}, cells=CELLS), "equal", 1.0), study(run=made))
    assert (found.answer, '"above" or "below"' in found.reason) == ("not judged", True)


def test_holm_is_the_step_down_of_bonferroni() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, math.nan]), [0.03, 0.06, 0.06, math.nan])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]


def test_holm_rejects_one_true_hypothesis_in_twenty_at_most() -> None:
    rng = np.random.default_rng(0)
    wrong = np.mean([holm(rng.uniform(size=10)).min() < 0.05 for _ in range(2_000)])
    assert 0.03 < wrong < 0.065


def results() -> list[StudyResult]:
    """One study that agrees, one that disagrees, one that is not resolved, one without rows."""
    named = {"fewer": [-20, -22, -18, -25, -19], "more": [5, 6, 5.5, 4, 6], "unclear": [-3, 4, 1, -2, 0.5]}
    found = [
        StudyResult(name, name.title(), "The paper says so.", "A paper", (judged(values, "below"),), "Much.", "More.")
        for name, values in named.items()
    ]
    missing = answered(Question("a minus b", EFFECT, "below"), study(run=rows({"b": [0.0, 1.0]})))
    return [*found, StudyResult("missing", "Missing", "The paper says so.", "A paper", (missing,))]


def test_studies_are_corrected_for_their_number_and_said_in_a_sentence() -> None:
    found = corrected(results())
    assert [study.first.answer for study in found] == [
        "agrees", "disagrees", "not resolved at this size", "not judged",
    ]  # fmt: skip
    assert found[0].first.adjusted == pytest.approx(3 * found[0].first.p)
    assert found[0].first.survives
    said = sentence(found[0].first, 3)
    assert said.startswith("Agrees: a minus b, −20.8 [−24.")
    assert "over 5 splits; expected below 0" in said
    assert "after Holm's correction over 3 studies" in said
    assert sentence(found[3].first, 3) == (
        "Not judged: a minus b; there is no row with metric 'auc', defense 'a'."
    )  # fmt: skip


def test_an_answer_that_is_only_one_of_many_says_so() -> None:
    weak = StudyResult("weak", "Weak", "", "", (judged([-20, -22, -18, -13, -19], "below", -13.0),))
    others = [StudyResult(f"o{k}", "", "", "", (judged([-3, 4, 1, -2, 0.5], "below"),)) for k in range(30)]
    found = corrected([weak, *others])[0].first
    assert (found.answer, found.survives) == ("agrees", False)
    assert "alone would not be evidence among so many studies" in sentence(found, 31)
    assert found.shown == "agrees (not after correction)"


def test_the_table_has_a_line_for_each_question() -> None:
    table = studies_table(corrected(results()))
    lines = table.to_csv().splitlines()
    assert len(lines) == 5
    assert lines[1].startswith("fewer,The paper says so.,a minus b,below 0,-20.8,")
    assert lines[4].endswith("not judged,\"there is no row with metric 'auc', defense 'a'\"")
