"""Rows by the number of copies: members of one number against all decoys, and the share of them extracted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages.copy_rows import copy_rows
from leakfront.results.run.rows import Row
from leakfront.results.statistics.roc import auc
from tests.small_config import small

COPIES = np.repeat([1, 2, 8], [40, 40, 20])
MEMBERS = np.arange(100) % 2 == 0
# members of 8 copies lie above everything, those of 2 in the middle of the decoys, those of 1 below all of them
SCORE = np.where(MEMBERS, np.select([COPIES == 8, COPIES == 2], [2.0, 0.5], -1.0), np.linspace(0, 1, 100))


def rows(attack: str, copies: Any, scores: dict[str, np.ndarray]) -> dict[tuple[str, float | None], Row]:
    plan = make_plan(parse_config(small(data__duplicates__copies=copies, statistics__false_discovery_rate=0.1)))
    return {(row.metric, row.level): row for row in copy_rows(plan, plan.cells[0], attack, scores, MEMBERS, COPIES)}


def test_each_number_of_copies_is_compared_with_all_decoys() -> None:
    found = rows("loss", [1, 2, 8], {"score": SCORE})
    assert {level for _, level in found} == {1.0, 2.0, 8.0}
    for level in (1, 2, 8):
        among = (level == COPIES) & MEMBERS | ~MEMBERS
        row = found["auc_by_copies", level]
        assert row.value == pytest.approx(auc(SCORE[among], MEMBERS[among]))
        assert (row.n, row.ci_low <= row.value <= row.ci_high) == ((MEMBERS & (level == COPIES)).sum(), True)
    assert [found["auc_by_copies", level].value for level in (1, 8)] == [0.0, 1.0]


def test_the_share_of_extracted_members_is_of_those_with_that_number() -> None:
    """Ten members above all decoys are reported at a rate of 10%, and no more, since 10 decoys come next."""
    found = rows("extraction", [1, 2, 8], {"score": SCORE})
    shares = {level: found["extracted_share_by_copies", level].value for level in (1, 2, 8)}
    assert shares == {1: 0.0, 2: 0.0, 8: 1.0}
    assert not any(metric.startswith("extracted") for metric, _ in rows("loss", [1, 2, 8], {"score": SCORE}))


def test_the_counted_score_decides_the_share_where_an_attack_has_one() -> None:
    found = rows("extraction", [1, 2, 8], {"score": SCORE, "extraction": np.where(COPIES == 1, 3.0, SCORE) * MEMBERS})
    assert found["extracted_share_by_copies", 1].value == 1.0


def test_a_single_number_has_no_such_rows() -> None:
    assert not rows("extraction", 8, {"score": SCORE})
