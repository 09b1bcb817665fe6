"""Rows on their way through a file, and the one summary of them that a run has."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from leakfront.results.run.combined import combined
from leakfront.results.run.point import Point
from leakfront.results.run.rows import COLUMNS, Row, frame, measured, read_rows
from leakfront.results.statistics.estimate import Estimate
from tests.synthetic_run import SET_SIZES, TWO, synthetic_run

ROW = Row(run="r", cell="c", dataset="digits", model="unet", defense="none", params="", split="0", kind="privacy",
          source="loss", metric="tpr_at_fpr", level=0.001, value=1 / 3)  # fmt: skip


def test_the_columns_are_those_of_the_design() -> None:
    where = ("run", "cell", "dataset", "model", "defense", "params", "split", "suite")
    number = ("metric", "level", "value", "ci_low", "ci_high", "ci_method", "n", "higher_is_better")
    assert (*where, "kind", "source", *number) == COLUMNS


def test_numbers_come_back_from_a_file_as_they_were_written(tmp_path: Path) -> None:
    found = Row(**{**vars(ROW), "level": None, "higher_is_better": False, "n": 3,
                   **measured(Estimate(0.1 + 0.2, math.nan, math.inf, "by hand"))})  # fmt: skip
    frame([ROW, found]).to_csv(tmp_path / "results.csv", index=False)
    read = read_rows(tmp_path / "results.csv")
    assert read["level"].dtype == float
    assert read["level"].tolist()[0] == 0.001
    assert math.isnan(read["level"].tolist()[1])
    assert read["value"].tolist() == [1 / 3, 0.1 + 0.2]
    assert read["ci_high"].tolist()[1] == math.inf
    assert read["ci_method"].tolist() == ["", "by hand"]
    assert read["higher_is_better"].tolist() == [None, False]
    assert frame([found])["level"].dtype == float  # without any level, too


def test_values_of_one_metric_are_found_by_their_level(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path, TWO, pool=128, samples=150, attacks=("extraction", "dataset_inference"))
    point, summary, rows = Point("none", ""), run.summary, run.rows
    assert summary is run.summary
    assert summary is not combined([run, run]).summary
    assert summary.value(point, "dataset_inference", "set_detected_members") is None
    assert summary.levels(point, "dataset_inference", "set_detected_members") == [float(size) for size in SET_SIZES]
    for size in SET_SIZES:
        mine = rows[(rows["defense"] == "none") & (rows["metric"] == "set_detected_members") & (rows["level"] == size)]
        by_split = summary.per_split(point, "dataset_inference", "set_detected_members", size)
        expected = mine[mine["split"] != "all"]["value"].tolist()
        np.testing.assert_array_equal([value.value for value in by_split.values()], expected)
        over_all = summary.value(point, "dataset_inference", "set_detected_members", level=size)
        assert over_all is not None
        assert over_all.value == mine[mine["split"] == "all"]["value"].item()
    assert "not attainable" in summary.reason(point, "extraction", "tpr_at_fpr", 0.001)
    assert summary.reason(point, "extraction", "tpr_at_fpr", 0.01) == ""
    assert (summary.rate, summary.fdr) == (0.05, "5%")
