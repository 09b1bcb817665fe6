"""The gap of losses against Welch's test of SciPy."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_ind

from leakfront.attacks import Signals
from leakfront.attacks.contract import signal_key
from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages.aggregate import over_all_splits
from leakfront.harness.stages.gap_rows import loss_gap_rows
from leakfront.results.run.rows import Row
from leakfront.results.statistics.mean_gap import mean_gap
from tests.small_config import small


def rows(errors: np.ndarray, members: np.ndarray, attack: str = "loss", subjects: Any = None) -> list[Row]:
    plan = make_plan(parse_config(small()))
    signal: Any = plan.attacks["loss"].signals()[0]
    signals = Signals({f"{signal_key(signal)}/errors": errors})
    return loss_gap_rows(plan, plan.cells[0], attack, signals, members, subjects)


def test_it_is_the_mean_loss_of_decoys_minus_that_of_members_with_welchs_interval() -> None:
    rng = np.random.default_rng(0)
    errors, members = rng.exponential(size=(50, 2)).astype(np.float32), np.arange(50) < 20
    errors[members] *= 0.5
    (row,) = rows(errors, members)
    loss = errors.astype(np.float64).mean(1)
    expected = ttest_ind(loss[~members], loss[members], equal_var=False)
    ends = expected.confidence_interval(0.95)
    assert (row.source, row.metric, row.n) == ("loss", "loss_gap", 50)
    assert row.value == pytest.approx(loss[~members].mean() - loss[members].mean())
    assert (row.ci_low, row.ci_high) == pytest.approx((ends.low, ends.high))
    assert rows(errors, members, "secmi") == []


def test_images_of_a_subject_count_once() -> None:
    errors, members = np.array([[1.0], [3.0], [5.0], [4.0], [8.0]]), np.array([True, True, False, False, True])
    (row,) = rows(errors, members, subjects=np.array([0, 0, 1, 1, 2]))
    assert (row.value, row.n) == (4.5 - (2 + 8) / 2, 3)
    assert math.isnan(row.ci_low)


def test_over_splits_it_shares_no_coins_as_the_scores_of_the_attack_do() -> None:
    rng, members = np.random.default_rng(0), np.arange(40) < 20
    found = [replace(row, split=str(k)) for k in range(3) for row in rows(rng.exponential(size=(40, 2)), members)]
    scored = [replace(row, metric="auc") for row in found]
    methods = {row.metric: row.ci_method for row in over_all_splits([*found, *scored], 1e-5, 1, ["loss"])}
    assert methods == {"loss_gap": "t over 3 splits", "auc": "t over 3 splits that share coins"}


def test_equal_values_show_no_spread() -> None:
    found = mean_gap(np.ones(5), np.zeros(5))
    assert (found.value, found.method[:11]) == (1.0, "no interval")
    assert math.isnan(found.low)
