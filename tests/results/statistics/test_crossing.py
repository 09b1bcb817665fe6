"""The first step at which a number reaches a level."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leakfront.results.statistics.crossing import first_crossing

STEPS = np.array([10.0, 20.0, 40.0, 80.0])


def test_between_two_measurements_it_is_linear_in_the_logarithm_of_steps() -> None:
    assert first_crossing(STEPS, np.log2(STEPS), math.log2(31)).steps == pytest.approx(31)
    assert first_crossing(STEPS, np.array([0.0, 0.04, 0.08, 0.5]), 0.05).steps == pytest.approx(20 * 2**0.25)
    falling = first_crossing(STEPS, np.array([90.0, 40.0, 10.0, 30.0]), 20, rising=False)
    assert falling == (pytest.approx(20 * 2 ** (2 / 3)), "")


def test_the_first_crossing_counts_and_a_measurement_at_the_level_has_reached_it() -> None:
    assert first_crossing(STEPS, np.array([0.0, 1.0, 0.0, 1.0]), 0.5).steps == pytest.approx(10 * 2**0.5)
    assert first_crossing(STEPS, np.array([0.0, 0.5, 1.0, 1.0]), 0.5) == (pytest.approx(20), "")


def test_what_was_not_seen_is_said() -> None:
    assert first_crossing(STEPS, np.zeros(4), 0.05) == (80, "after")
    assert first_crossing(STEPS, np.ones(4), 0.05) == (10, "before")


@pytest.mark.parametrize(
    ("steps", "values"),
    [([], []), ([2.0, 1.0], [0.0, 1.0]), ([0.0, 1.0], [0.0, 1.0]), ([1.0, 2.0], [0.0, math.nan]), ([1.0], [0.0, 1.0])],
)
def test_what_is_no_curve_is_refused(steps: list[float], values: list[float]) -> None:
    with pytest.raises(ValueError, match="steps must be above 0 and rise"):
        first_crossing(np.array(steps), np.array(values), 0.5)
