"""Times of memorization with a known exponent."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leakfront.results.run.rows import Row
from leakfront.results.studies import CannotJudge
from leakfront.results.studies.judging.data import StudyData
from leakfront.results.studies.time_slope import TimeSlope
from tests.results.studies.made_up import rows, study

SHARE = {"source": "distances", "metric": "memorized_share"}
ARMS = {"n40": 40, "n80": 80, "n160": 160}


def checkpoints(images: int, value: Callable[[float], float], steps: tuple[int, ...]) -> list[Row]:
    """Rows of a training's checkpoints on three splits; split s has 1 + s / 10 times as many images."""
    made: list[Row] = []
    for step in steps:
        name = f"early_stop steps={step}"
        made += rows({name: [step] * 3}, kind="cost", source="train", metric="training_steps")
        sizes = [images * (1 + split / 10) for split in range(3)]
        made += rows({name: sizes}, kind="cost", source="train", metric="training_images")
        made += rows({name: [value(step / n) for n in sizes]}, **SHARE)
    return made


def runs(power: float, last: int = 12) -> StudyData:
    """The share is 2^(j / 2) of 1% after 2^(j / 2) n^power / 10 steps; 5% is so reached at 5 n^power / 10 steps."""
    arms = {}
    for arm, n in ARMS.items():
        steps = tuple(round(2 ** (j / 2) * n**power) for j in range(-2, last))
        arms[arm] = checkpoints(n, lambda epochs, n=n: min(epochs * n ** (1 - power) / 100, 1.0), steps)  # type: ignore[misc]
    return study(**arms)


def test_a_time_that_grows_as_the_training_set_has_slope_one() -> None:
    found = TimeSlope(measure=SHARE, reaches=0.05, arms=tuple(ARMS)).evaluate(runs(1.0))
    assert list(found.values) == ["0", "1", "2"]
    assert list(found.values.values()) == pytest.approx([1.0] * 3, abs=0.02)  # steps are whole numbers
    assert found.shown.curves[0].y[0] == pytest.approx([200, 400, 800], rel=0.03)
    assert found.shown.curves[0].x[1] == pytest.approx([44, 88, 176])


def test_a_number_may_fall_and_a_time_may_be_constant() -> None:
    arms = {arm: checkpoints(n, lambda epochs, n=n: 1000 / (epochs * n), (20, 40, 80, 160))  # type: ignore[misc]
            for arm, n in ARMS.items()}  # fmt: skip
    found = TimeSlope(measure=SHARE, reaches=20.0, arms=tuple(ARMS), goes="down").evaluate(study(**arms))
    assert found.values["0"] == pytest.approx(0.0, abs=1e-9)


def test_a_time_that_was_not_seen_is_named_in_place_of_a_biased_slope() -> None:
    with pytest.raises(
        CannotJudge, match=r"0.05 is reached not even at the last checkpoint, 57 steps, in n40, split 0"
    ):
        TimeSlope(measure=SHARE, reaches=0.05, arms=tuple(ARMS)).evaluate(runs(1.0, last=2))
    with pytest.raises(CannotJudge, match=r"0.001 is reached already at the first checkpoint, 20 steps, in n40"):
        TimeSlope(measure=SHARE, reaches=0.001, arms=tuple(ARMS)).evaluate(runs(1.0))
