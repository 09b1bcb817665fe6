"""Leakage at equal quality is read off a defense's own curve, and nowhere beyond it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from results.matched_table import FACTORS, matched_table
from results.points import Point, Summary, Value
from results.statistics.matched import at_fid, matched
from results.statistics.splits import over_splits
from tests.synthetic_run import TWO, Strength, synthetic_run


def test_a_curve_is_linear_in_the_logarithm_of_the_fid() -> None:
    fids, values = [40.0, 10.0, 20.0], [0.0, 8.0, 2.0]
    assert at_fid(fids, values, 10) == 8
    assert at_fid(fids, values, 40) == 0
    assert at_fid(fids, values, math.sqrt(10 * 20)) == pytest.approx(5)
    assert at_fid(fids, values, math.sqrt(20 * 40)) == pytest.approx(1)
    assert at_fid([10.0, 10.0, 20.0], [4.0, 6.0, 0.0], 10) == 5  # equal FIDs count as one point


@pytest.mark.parametrize(
    ("fids", "values", "target"),
    [([10.0, 20.0], [1.0, 2.0], 9.9), ([10.0, 20.0], [1.0, 2.0], 20.1), ([10.0], [1.0], 10.0),
     ([10.0, math.nan], [1.0, 2.0], 10.0), ([10.0, 20.0], [1.0, math.nan], 10.0)],
)  # fmt: skip
def test_nothing_is_read_beyond_a_curve(fids: list[float], values: list[float], target: float) -> None:
    assert math.isnan(at_fid(fids, values, target))


def test_impossible_curves_are_refused() -> None:
    with pytest.raises(ValueError, match="2 FIDs with 1 values"):
        at_fid([1.0, 2.0], [1.0], 1.5)
    for fids, target in (([0.0, 2.0], 1.0), ([1.0, 2.0], 0.0)):
        with pytest.raises(ValueError, match="positive"):
            at_fid(fids, [1.0, 2.0], target)


def test_over_splits_each_is_read_off_its_own_curve() -> None:
    rng = np.random.default_rng(0)
    fids = [np.sort(rng.uniform(5, 50, 4)) for _ in range(5)]
    values = [rng.uniform(0, 30, 4) for _ in range(5)]
    lows, highs = [v - 1 for v in values], [v + 2 for v in values]
    fids[4] = fids[4] + 100  # which does not reach the target
    target = 20.0
    read = [at_fid(f, v, target) for f, v in zip(fids, values, strict=True)]
    assert np.isfinite(read[:4]).sum() >= 2
    expected = over_splits(read, np.array(read) - 1, np.array(read) + 2, 0)
    found = matched(fids, values, lows, highs, target, 0)
    assert found == expected
    assert "left out" in found.method


def test_the_table_reads_the_rows(tmp_path: Path) -> None:
    curve = (Strength("none", fid=10, copied=29, leak=1), Strength("capacity", "width=8", fid=12, copied=25, leak=0.8),
             Strength("capacity", "width=4", fid=30, leak=0.1), Strength("dedup", fid=9))  # fmt: skip
    run = synthetic_run(tmp_path, curve)
    table, summary = matched_table(run), Summary(run)
    assert table is not None
    assert [c.entries for c in table.columns if c.key == "defense"] == [("capacity",)]
    base = summary.fid(Point("none", ""))
    assert base is not None
    for factor in FACTORS:
        entry = next(c for c in table.columns if c.key == f"extracted_at_{factor:g}").entries[0]
        target, read = factor * base.value, []
        for split in ("0", "1", "2"):
            points = [Point("capacity", f"width={w}") for w in (8, 4)]
            fids = [summary.value(p, "fid", summary.fid_metric, split) for p in points]
            counts = [summary.extracted(p, split) for p in points]
            read.append(at_fid([f.value for f in fids if f], [c.value for c in counts if c], target))
        if np.isnan(read).all():
            assert entry is None
        else:
            assert isinstance(entry, Value)
            assert entry.value == pytest.approx(np.nanmean(read))
            assert entry.low <= entry.value <= entry.high
    assert any(c.entries[0] is not None for c in table.columns[1:])


def test_without_a_curve_there_is_no_table(tmp_path: Path) -> None:
    assert matched_table(synthetic_run(tmp_path, TWO)) is None


def test_curves_that_reach_none_of_the_fids_make_no_table(tmp_path: Path) -> None:
    far = (Strength("none", fid=10), Strength("capacity", "width=8", fid=200), Strength("capacity", "width=4", fid=300))
    assert matched_table(synthetic_run(tmp_path, far)) is None
