"""Rows of the one-run audit: of one model, over splits, and of runs of earlier versions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from leakfront.datasets import open_dataset
from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.plan import Plan
from leakfront.harness.pool.pool import Pool, PoolSettings, build_pool
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages.aggregate import over_all_splits
from leakfront.harness.stages.audit_rows import audit_rows
from leakfront.results.run.rows import ALL, Row
from leakfront.results.statistics.one_run_best import tighter_epsilon
from leakfront.results.statistics.one_run_f_dp import one_run_epsilon_f_dp
from tests.small_config import small

DELTA, ATTACKS = 1e-5, 3
COINS = 88  # of a pool of 96 with 8 planted images


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(parse_config(small(statistics__audit_guesses=[20, "1/3"])))


@pytest.fixture(scope="module")
def pool() -> Pool:
    return build_pool(open_dataset("digits").load(), PoolSettings(size=96, groups=8, copies=4), seed=0)


def rows_of(plan: Plan, pool: Pool, wrong: int, split: int = 0, private: bool = False) -> list[Row]:
    """Rows from scores that tell all but the `wrong` extreme members and decoys."""
    members = np.random.default_rng(split).random(96) < 0.5
    score = np.where(members, 1.0, -1.0) * np.arange(1, 97)
    ranked = np.argsort(np.where(pool.copies == 1, -np.abs(score), 0))
    score[ranked[:wrong]] *= -1
    cell = replace(plan.cells[0], split=split)
    return audit_rows(plan, cell, "loss", score, members, pool.copies, private)


def only(rows: list[Row], metric: str, level: float | None = None) -> Row:
    [found] = [row for row in rows if (row.metric, row.level) == (metric, level)]
    return found


def test_both_numbers_of_guesses_count_and_the_better_is_shown(plan: Plan, pool: Pool) -> None:
    rows = rows_of(plan, pool, wrong=0)
    right = {row.level: (row.value, row.n) for row in rows if row.metric == "audit_guesses_right"}
    assert right == {20.0: (20.0, 20), 28.0: (28.0, 28)}  # 29 is a third of 88, rounded down to an even number
    bound = only(rows, "epsilon_lower_bound")
    level = 0.05 / (ATTACKS * 2)
    assert (bound.value, bound.ci_high, bound.n) == (tighter_epsilon(COINS, 28, 28, DELTA, level), math.inf, COINS)
    assert bound.ci_method == (
        "one-run audit, 28 of 28 guesses right, corrected for 3 attacks and 2 numbers of guesses"
    )
    assert only(rows, "epsilon_lower_bound_ceiling").value == bound.value
    assert only(rows, "epsilon_lower_bound_saturated").value == 1
    assert not any("f_dp" in row.metric for row in rows)


def test_an_audit_with_a_wrong_guess_is_not_saturated(plan: Plan, pool: Pool) -> None:
    rows = rows_of(plan, pool, wrong=1)
    assert only(rows, "epsilon_lower_bound_saturated").value == 0
    assert only(rows, "epsilon_lower_bound").value < only(rows, "epsilon_lower_bound_ceiling").value


def test_a_private_model_is_audited_as_a_gaussian_mechanism_too(plan: Plan, pool: Pool) -> None:
    rows = rows_of(plan, pool, wrong=2, private=True)
    bound = only(rows, "epsilon_lower_bound_f_dp")
    right = {row.n: int(row.value) for row in rows if row.metric == "audit_guesses_right"}
    level = 0.05 / (ATTACKS * 2)
    assert bound.value == max(one_run_epsilon_f_dp(COINS, r, v, DELTA, level) for r, v in right.items())
    assert bound.value > only(rows, "epsilon_lower_bound").value
    assert bound.ci_method.startswith("f-DP one-run audit of Gaussian trade-off curves (mu-GDP), ")


def test_over_splits_the_best_counts_corrected_for_all(plan: Plan, pool: Pool) -> None:
    rows = [row for split, wrong in enumerate((3, 0, 1)) for row in rows_of(plan, pool, wrong, split, private=True)]
    over = over_all_splits(rows, DELTA, ATTACKS)
    level = 0.05 / (ATTACKS * 2 * 3)
    bound = only(over, "epsilon_lower_bound")
    assert (bound.split, bound.cell, bound.n) == (ALL, "", 3 * COINS)
    assert bound.value == bound.ci_low == tighter_epsilon(COINS, 28, 28, DELTA, level)
    assert "28 of 28 guesses right, corrected for 3 attacks, 2 numbers of guesses and 3 splits" in bound.ci_method
    assert only(over, "epsilon_lower_bound_saturated").value == 1
    assert only(over, "epsilon_lower_bound_ceiling").value == bound.value
    assert only(over, "epsilon_lower_bound_f_dp").value == one_run_epsilon_f_dp(COINS, 28, 28, DELTA, level)
    assert only(over, "audit_guesses_right", 20.0).value == pytest.approx((17 + 20 + 19) / 3)
    assert len({(row.metric, row.level) for row in over}) == len(over)


def test_rows_of_earlier_versions_have_one_number_of_guesses_without_a_level(plan: Plan, pool: Pool) -> None:
    rows = [row for split, wrong in enumerate((3, 1)) for row in rows_of(plan, pool, wrong, split)]
    old = [replace(row, level=None) for row in rows if row.level != 28.0 and not row.metric.endswith("saturated")]
    over = over_all_splits(old, DELTA, ATTACKS)
    bound = only(over, "epsilon_lower_bound")
    assert bound.value == tighter_epsilon(COINS, 20, 19, DELTA, 0.05 / (ATTACKS * 2))
    assert bound.ci_method == (
        "one-run audit, 19 of 20 guesses right, corrected for 3 attacks and 2 splits, the best of which is shown"
    )
    assert only(over, "epsilon_lower_bound_ceiling").value == tighter_epsilon(
        COINS, 20, 20, DELTA, 0.05 / (ATTACKS * 2)
    )
