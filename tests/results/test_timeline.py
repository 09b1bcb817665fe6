"""The timeline joins models that differ in their training steps alone, in the order of their steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leakfront.results.figures import figures
from leakfront.results.figures.drawing import style
from leakfront.results.report import combined
from leakfront.results.run.data import RunData
from leakfront.results.run.summary import Point
from tests.results.test_report import SMALL, assert_legible, written
from tests.synthetic_run import Strength, synthetic_run

NONE = Strength("none", fid=12, copied=29, leak=1.1)
STOPS = [Strength("early_stop", f"fraction={f}", 12 / f, leak=f, steps=round(4000 * f)) for f in (0.5, 0.25)]
STACK = [Strength(f"dedup+{s.defense}", s.params, s.fid, steps=s.steps) for s in STOPS]
OTHERS = [
    Strength("dedup"),
    Strength("augment", "probability=1"),
    Strength("augment", "probability=0.3"),
    Strength("early_stop, patient", "patience=3", steps=700),
    Strength("early_stop, patient", "patience=5"),
]


def run_of(folder: Path, strengths: list[Strength], **settings: object) -> RunData:
    return synthetic_run(folder, strengths, **{**SMALL, **settings})


def drawn(run: RunData) -> dict[str, list[tuple[float, float]]]:
    """The lines of the first panel by their colour, each as its points."""
    (ax, *_) = figures.get("timeline")().draw(run).axes
    joined = [li for li in ax.lines if li.get_linewidth() == 0.9]
    return {li.get_color(): [(float(x), float(y)) for x, y in zip(*li.get_data(), strict=True)] for li in joined}


def test_a_line_goes_from_the_earliest_stop_to_the_undefended_model(tmp_path: Path) -> None:
    run = run_of(tmp_path, [NONE, *STOPS, *OTHERS])
    summary, lines = run.summary, drawn(run)
    points = [Point("early_stop", "fraction=0.25"), Point("early_stop", "fraction=0.5"), Point("none", "")]
    expected = [(steps, summary.fid(p).value) for p, steps in zip(points, (1000, 2000, 4000), strict=True)]  # type: ignore[union-attr]
    assert lines == {style.looks(summary.defenses)["early_stop"].colour: expected}


def test_a_stack_goes_to_the_same_stack_without_the_stop(tmp_path: Path) -> None:
    run = run_of(tmp_path, [NONE, *STACK, *OTHERS])
    dedup = run.summary.fid(Point("dedup", ""))
    assert dedup is not None
    (line,) = drawn(run).values()
    assert line[-1] == (4000, dedup.value)
    (alone,) = drawn(run_of(tmp_path / "alone", [NONE, *STACK])).values()  # nothing to go to
    assert [x for x, _ in alone] == [1000, 2000]


def test_a_line_of_another_name_is_joined_to_no_other(tmp_path: Path) -> None:
    own = [Strength("dedup, stopped", s.params, s.fid, steps=s.steps) for s in STOPS]
    (line,) = drawn(run_of(tmp_path, [NONE, *own, *OTHERS])).values()
    assert [x for x, _ in line] == [1000, 2000]


def test_every_panel_shows_the_rows_with_their_intervals(tmp_path: Path) -> None:
    run = run_of(tmp_path, [NONE, *STOPS])
    summary, plugin = run.summary, figures.get("timeline")()
    attack, _ = summary.strongest(Point("none", ""), "auc")  # type: ignore[misc]
    figure = plugin.draw(run)
    measures = (("fid", summary.fid_metric, None), ("extraction", "extracted_at_fdr", 0.05), (attack, "auc", None))
    for ax, (source, metric, level) in zip(figure.axes, measures, strict=True):
        bars = {tuple(map(float, li.get_ydata())) for li in ax.lines if len(set(li.get_xdata())) == 1}
        for point in summary.points:
            value = summary.value(point, source, metric, level=level)
            assert value is not None
            assert (value.low, value.high) in bars
    assert f"AUC of {attack}, which has the highest" in plugin.caption
    assert [ax.get_ylabel() for ax in figure.axes] == ["FID", "extracted, 5% FDR", f"AUC of {attack}"]
    assert figure.axes[-1].get_xlabel() == "training steps"


def test_several_runs_have_their_own_undefended_models(tmp_path: Path) -> None:
    other = run_of(tmp_path / "other", [Strength("none", fid=30, steps=800), *STOPS[1:]], name="other")
    run = combined([run_of(tmp_path / "one", [NONE, *STOPS]), other])
    ends = {Point(f"{name}: none", ""): steps for name, steps in (("synthetic", 4000), ("other", 800))}
    lines = drawn(run)
    assert len(lines) == 2
    at = {(x, y) for line in lines.values() for x, y in line}
    for point, steps in ends.items():
        assert (steps, run.summary.fid(point).value) in at  # type: ignore[union-attr]
    for line in lines.values():
        assert (np.diff([x for x, _ in line]) > 0).all()


@pytest.mark.parametrize("lines", [1, 2, 4])
def test_the_timeline_is_legible(lines: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("early_stop", "dedup+early_stop", "stopped, with a long name", "stopped")[:lines]
    crowd = [Strength(name, f"steps={k}", 12 * (4000 / k) ** (0.5 + i / 4), leak=k / 4000)
             for i, name in enumerate(names) for k in (250, 500, 1000, 2000, 3000)]  # fmt: skip
    assert_legible(*written("timeline", run_of(tmp_path, [NONE, *crowd, Strength("dedup")]), monkeypatch))


def test_without_two_numbers_of_steps_nothing_is_drawn(tmp_path: Path) -> None:
    for number, strengths in enumerate(([NONE, *OTHERS], [NONE, *OTHERS[:1], STOPS[0], Strength("x", "steps=7")])):
        run, plugin = run_of(tmp_path / str(number), strengths), figures.get("timeline")()
        assert (plugin.draw(run) is None) == (number == 0)
    assert figures.get("timeline")().draw(run_of(tmp_path / "one", [Strength("x", "steps=7")])) is None
    run.rows[run.rows["metric"] != "training_steps"].to_csv(run.folder / "results.csv", index=False, na_rep="nan")
    assert plugin.draw(RunData(run.folder)) is None
    assert plugin.reason == "no two models differ in their number of training steps alone"
