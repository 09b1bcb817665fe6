"""The gap of losses against Welch's test of SciPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_ind

from leakfront.attacks import Signals
from leakfront.attacks.contract import signal_key
from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.sections import parse_config
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


def test_equal_values_show_no_spread() -> None:
    found = mean_gap(np.ones(5), np.zeros(5))
    assert (found.value, found.method[:11]) == (1.0, "no interval")
    assert math.isnan(found.low)
