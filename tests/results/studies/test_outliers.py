"""Outliers that leak more are found, and nothing where nothing leaks or all leak alike."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from leakfront.results.statistics.roc import auc
from leakfront.results.studies import CannotJudge
from leakfront.results.studies.judging.data import StudyData
from leakfront.results.studies.outliers import Outliers, apart, auc_parts, grouped
from tests.synthetic_run import TWO, synthetic_run

CELL = {"defense": "none"}


def made_up(leak: np.ndarray, images: np.ndarray, splits: int = 3, seed: int = 0) -> StudyData:
    """A run whose members score higher by `leak`, float [P]."""
    rng, drawn = np.random.default_rng(seed), {}
    for split in range(splits):
        members = rng.random(len(images)) < 0.5
        drawn[str(split)] = members, rng.normal(size=len(images)) + leak * members
    run: Any = SimpleNamespace(
        cells=[SimpleNamespace(split=split, defense="none", params="") for split in drawn],
        pool_of=lambda cell: {"images": images},
        members=lambda cell: drawn[cell.split][0],
        scores=lambda cell, attack: {"score": drawn[cell.split][1]},
    )
    return StudyData({"run": run})


def pictures(count: int = 200) -> np.ndarray:
    """Images uint8 [count, 1, 2, 2] around one point, farther with their number."""
    rng = np.random.default_rng(1)
    far = np.linspace(1, 60, count)[:, None, None, None]
    return np.clip(127 + far * rng.normal(size=(count, 1, 2, 2)), 0, 255).astype(np.uint8)


def test_outliers_that_leak_more_are_found() -> None:
    images = pictures()
    group = grouped(apart(images, 5), 5)
    found = Outliers(attack="loss", cell=CELL, draws=2000).evaluate(made_up(group * 0.5, images))
    assert found.p_values is not None
    assert found.p_values[0] < 0.01
    opposite = Outliers(attack="loss", cell=CELL, draws=2000).evaluate(made_up(2 - group * 0.5, images))
    assert opposite.p_values is not None
    assert opposite.p_values[1] < 0.01
    assert found.shown.curves[0].y.shape == (3, 5)


@pytest.mark.parametrize("leak", [0.0, 1.0])
def test_an_equal_leak_everywhere_is_found_as_rarely_as_promised(leak: float) -> None:
    images = pictures(100)
    asked = Outliers(attack="loss", cell=CELL, draws=199)
    found = [asked.evaluate(made_up(np.full(100, leak), images, 2, seed)).p_values for seed in range(200)]
    rises = [p[0] for p in found if p is not None]
    assert np.mean(np.array(rises) <= 0.1) < 0.17  # 0.1 but for chance, which exceeds 0.17 in 1 of 1,000
    assert np.mean(rises) == pytest.approx(0.5, abs=0.09)


def test_the_parts_of_an_auc_sum_to_it() -> None:
    rng = np.random.default_rng(0)
    score, members = rng.integers(0, 9, 40).astype(float), np.arange(40) < 15
    parts = auc_parts(score, members)
    assert parts[members].sum() + 0.5 == pytest.approx(auc(score, members))
    assert parts.sum() == pytest.approx(0)
    with pytest.raises(CannotJudge, match="no members, or no decoys"):
        auc_parts(score, np.ones(40, bool))


def test_it_reads_the_scores_and_images_of_a_run(tmp_path: Path) -> None:
    data = StudyData({"run": synthetic_run(tmp_path, TWO[:1], splits=2)})
    found = Outliers(attack="loss", cell=CELL, draws=99).evaluate(data)
    run = data.runs["run"]
    group = grouped(apart(run.pool["images"], 5), 5)
    expected = [[auc(run.scores(cell, "loss")["score"][group == g], run.members(cell)[group == g]) for g in range(5)]
                for cell in run.cells]  # fmt: skip
    np.testing.assert_allclose(found.shown.curves[0].y, expected)
    with pytest.raises(CannotJudge, match="several models of one split"):
        Outliers(attack="loss", cell={}, draws=9).evaluate(StudyData({"a": run, "b": run}))


def test_an_image_is_not_its_own_neighbour() -> None:
    images = np.array([0, 0, 51, 255], np.uint8)[:, None, None, None]
    np.testing.assert_allclose(apart(images, 2), [(0 + 0.2) / 2, (0 + 0.2) / 2, 0.2, (0.8 + 1) / 2])
    assert grouped(np.array([0.3, 0.1, 0.2, 0.9, 0.5]), 2).tolist() == [0, 0, 0, 1, 1]
