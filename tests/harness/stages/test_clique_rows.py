"""Rows on the cliques of captions: what they show, each kind apart."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages.clique_rows import clique_rows
from leakfront.results.run.rows import Row
from tests.small_config import small

MEMBERS = np.array([True, False, True, True, False, True])
SHOWN = np.array([0, 1, 0, -1, -2, 3])  # of six captions one shows a decoy, one nothing, and one is not flagged


def rows(copies: Any, **changes: Any) -> dict[str, Row]:
    plan = make_plan(parse_config(small(**changes)))
    scores = {"clique_shows": SHOWN, "asked": np.array([True] * 5 + [False])}
    pool: Any = SimpleNamespace(copies=np.broadcast_to(copies, 6))
    return {row.metric: row for row in clique_rows(plan, plan.cells[0], "by_prompt", scores, MEMBERS, pool)}


def test_cliques_that_show_a_member_a_decoy_or_nothing_are_counted_apart() -> None:
    found = rows(1)
    values = {name: (row.value, row.n) for name, row in found.items() if name.startswith("cliques")}
    assert values == {
        "cliques_showing_member": (3.0, 5), "cliques_showing_decoy": (1.0, 5), "cliques_showing_nothing": (1.0, 5)
    }  # fmt: skip


@pytest.mark.parametrize(("rate", "least", "can"), [(0.05, 20, "cannot"), (0.5, 2, "can")])
def test_a_row_says_whether_the_planted_pairs_are_enough_for_a_count(rate: float, least: int, can: str) -> None:
    row = rows([5, 5, 5, 1, 5, 5], statistics__false_discovery_rate=rate)["planted_members_asked"]
    assert (row.value, row.n) == (2.0, 5)
    assert f"rate of {rate} is at least {least} or 0, so planted pairs alone {can} reach it" in row.ci_method
