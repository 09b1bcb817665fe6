"""Leakage at equal quality is read off a defense's own curve, and nowhere beyond it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from leakfront.results.figures import NotDrawn, figures
from leakfront.results.figures.drawing.looks import looks_of
from leakfront.results.run.point import Point
from leakfront.results.run.value import Value
from leakfront.results.statistics.matched import at_fid, matched
from leakfront.results.statistics.splits import over_splits
from leakfront.results.tables.matched import FACTORS, at_equal_fid, matched_table
from tests.results.test_report import SMALL, assert_legible, drawn, written
from tests.synthetic_run import TWELVE, TWO, Strength, synthetic_run


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


def test_a_fid_that_one_of_several_curves_reaches_gives_no_number() -> None:
    fids, values = [[10.0, 20.0], [30.0, 40.0]], [[4.0, 2.0], [1.0, 0.0]]
    alone = matched(fids, values, values, values, 15.0)
    assert math.isnan(alone.value)
    assert alone.method == "reached by 1 split of 2"
    assert matched(fids[:1], values[:1], values[:1], values[:1], 15.0).method == "within 1 split"
    assert math.isnan(matched(fids, values, values, values, 50.0).value)


def test_the_table_reads_the_rows(tmp_path: Path) -> None:
    curve = (Strength("none", fid=10, copied=29, leak=1), Strength("capacity", "width=8", fid=12, copied=25, leak=0.8),
             Strength("capacity", "width=4", fid=30, leak=0.1), Strength("dedup", fid=9))  # fmt: skip
    run = synthetic_run(tmp_path, curve)
    table, summary = matched_table(run), run.summary
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
        if np.isfinite(read).sum() < 2:
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


def test_the_figure_shows_the_table_the_least_leaking_first(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path, TWELVE, **SMALL)
    found, result = at_equal_fid(run), drawn("matched", run)
    assert found is not None
    figure = result.figure
    blocks = [figure.axes[i : i + 2] for i in range(0, len(figure.axes), 2)]
    shown = [factor for factor in FACTORS if any(found.values[d, factor, "auc"] for d in found.defenses)]
    assert [block[0].get_title(loc="left").split("(")[1] for block in blocks] == [f"{f:g} × undefended)" for f in shown]
    looks, compared = looks_of(run.summary), 0
    for factor, (auc, extracted) in zip(shown, blocks, strict=True):
        names = [text.get_text() for text in auc.get_yticklabels()]
        values = [found.values[name, factor, "auc"] for name in names]
        assert [v.value for v in values if v] == sorted(v.value for v in values if v)
        assert set(names) == {d for d in found.defenses if found.values[d, factor, "auc"]}
        for ax, leak in ((auc, "auc"), (extracted, "extracted")):
            marked = {(float(li.get_xdata()[0]), int(li.get_ydata()[0])): li.get_color() for li in ax.lines
                      if li.get_linestyle() == "None"}  # fmt: skip
            bars = {tuple(map(float, li.get_xdata())) for li in ax.lines if len(set(li.get_ydata())) == 1}
            for y, name in enumerate(names):
                value = found.values[name, factor, leak]  # type: ignore[index]
                assert value is not None
                assert marked[value.value, y] == looks[name].colour
                assert (value.low, value.high) in bars
                compared += 1
            assert len(marked) == len(names)
    assert compared > 8
    assert f"the AUC of {found.attack}, which has the highest" in result.caption
    assert "at 1.5, 2, 4 times the FID" in result.caption


@pytest.mark.parametrize("lines", [1, 9, 29])
def test_the_figure_is_legible_whatever_has_a_curve(
    lines: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = [Strength(f"{'a_rather_long_' * (i % 2)}plugin_{i}", f"width={j}", (13, 60)[j], 22 * (1 - j), 1 - 0.03 * i)
             for i in range(lines) for j in range(2)]  # fmt: skip
    run = synthetic_run(tmp_path, [TWO[0], *crowd], **SMALL)
    assert_legible(*written("matched", run, monkeypatch))


def test_without_a_table_there_is_no_figure(tmp_path: Path) -> None:
    without = figures.get("matched")().draw(synthetic_run(tmp_path, TWO, **SMALL))
    assert without == NotDrawn("no defense has strengths whose FIDs enclose one that is compared")
