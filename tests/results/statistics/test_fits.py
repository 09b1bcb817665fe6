"""Over fits of a feature extractor: one fit changes nothing, and several widen the interval by how far they differ."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from leakfront.results.statistics.estimate import Estimate
from leakfront.results.statistics.fits import over_fits, widened


def test_one_fit_leaves_the_number_as_it_is() -> None:
    one = Estimate(2.0, 1.5, 2.7, "jackknife")
    assert over_fits([one]) is one


def test_the_interval_is_the_root_of_both_squares() -> None:
    values = np.array([50.0, 70.0, 90.0])
    found = over_fits([Estimate(value, value - 3, value + 4, "jackknife") for value in values])
    between = stats.t.interval(0.95, 2, values.mean(), values.std(ddof=1) / np.sqrt(3))[1] - 70
    assert found.value == 70
    assert found.high - 70 == pytest.approx(np.hypot(4, between))
    assert 70 - found.low == pytest.approx(np.hypot(3, between))
    assert found.method == "jackknife; t over 3 fits of the features"


def test_fits_that_agree_leave_the_sampling_error() -> None:
    found = over_fits([Estimate(2.0, 1.5, 2.7, "jackknife")] * 3)
    assert found[:3] == pytest.approx((2.0, 1.5, 2.7))


def test_the_interval_is_cut_at_the_ends_of_the_range_and_a_missing_one_stays_missing() -> None:
    shares = [Estimate(value, value - 0.05, min(value + 0.05, 1), "exact") for value in (0.8, 0.9, 1.0)]
    assert over_fits(shares, 0, 1).high == 1
    assert over_fits(shares).high > 1
    without = widened(Estimate(2.0, float("nan"), float("nan"), "none"), [1.0, 3.0])
    assert np.isnan([without.low, without.high]).all()
