"""The timeline joins models that differ in their training steps alone, in the order of their steps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leakfront.results.figures import NotDrawn, figures
from leakfront.results.figures.drawing.looks import looks_of
from leakfront.results.report import combined
from leakfront.results.run.data import RunData
from leakfront.results.run.point import Point
from tests.results.test_report import SMALL, assert_legible, drawn, written
from tests.synthetic_run import Strength, synthetic_run

NONE = Strength("none", fid=12, copied=29, leak=1.1)
STOPS = [Strength("early_stop", f"fraction={f}", 12 / f, leak=f, steps=round(4000 * f), whole="none")
         for f in (0.5, 0.25)]  # fmt: skip
STACK = [replace(s, defense=f"dedup+{s.defense}", whole="dedup") for s in STOPS]
OTHERS = [
    Strength("dedup"),
    Strength("augment", "probability=1"),
    Strength("augment", "probability=0.3"),
    Strength("early_stop, patient", "patience=3", steps=700),
    Strength("early_stop, patient", "patience=5"),
]


def run_of(folder: Path, strengths: list[Strength], **settings: object) -> RunData:
    return synthetic_run(folder, strengths, **{**SMALL, **settings})


def lines_of(run: RunData) -> dict[str, list[tuple[float, float]]]:
    """The lines of the first panel by their colour, each as its points."""
    (ax, *_) = drawn("timeline", run).figure.axes
    joined = [li for li in ax.lines if li.get_linewidth() == 0.9]
    return {li.get_color(): [(float(x), float(y)) for x, y in zip(*li.get_data(), strict=True)] for li in joined}


def test_a_line_goes_from_the_earliest_stop_to_the_undefended_model(tmp_path: Path) -> None:
    run = run_of(tmp_path, [NONE, *STOPS, *OTHERS])
    summary, lines = run.summary, lines_of(run)
    points = [Point("early_stop", "fraction=0.25"), Point("early_stop", "fraction=0.5"), Point("none", "")]
    expected = [(steps, summary.fid(p).value) for p, steps in zip(points, (1000, 2000, 4000), strict=True)]  # type: ignore[union-attr]
    assert lines == {looks_of(summary)["early_stop"].colour: expected}


def test_a_stack_goes_to_the_same_stack_without_the_stop(tmp_path: Path) -> None:
    run = run_of(tmp_path, [NONE, *STACK, *OTHERS])
    dedup = run.summary.fid(Point("dedup", ""))
    assert dedup is not None
    (line,) = lines_of(run).values()
    assert line[-1] == (4000, dedup.value)
    (alone,) = lines_of(run_of(tmp_path / "alone", [NONE, *STACK])).values()  # nothing to go to
    assert [x for x, _ in alone] == [1000, 2000]


def test_run_json_says_what_was_stopped_and_not_the_name(tmp_path: Path) -> None:
    own = [replace(s, defense="short, a name of its own", params=["run A", "run B"][i], whole="dedup")
           for i, s in enumerate(STOPS)]  # fmt: skip
    (line,) = lines_of(run_of(tmp_path, [NONE, *own, *OTHERS])).values()
    assert [x for x, _ in line] == [1000, 2000, 4000]
    sweep = [replace(s, whole=f"regularize (weight_decay={i})") for i, s in enumerate(STOPS)]
    plugin = figures.get("timeline")()
    run = run_of(tmp_path / "sweep", [NONE, *sweep, *OTHERS])  # they differ in more than their steps
    assert plugin.draw(run) == NotDrawn("no two models differ in their number of training steps alone")


def test_without_the_fact_the_reason_is_given(tmp_path: Path) -> None:
    run_of(tmp_path, [NONE, *STOPS])
    info = json.loads((tmp_path / "run.json").read_text())
    del info["stops_short_of"]
    (tmp_path / "run.json").write_text(json.dumps(info))
    without = figures.get("timeline")().draw(RunData(tmp_path))
    assert without == NotDrawn("run.json does not say which models are others stopped early")


def test_every_panel_shows_the_rows_with_their_intervals(tmp_path: Path) -> None:
    run = run_of(tmp_path, [NONE, *STOPS])
    summary, plugin = run.summary, drawn("timeline", run)
    attack, _ = summary.strongest(Point("none", ""), "auc")  # type: ignore[misc]
    measures = (("fid", summary.fid_metric, None), ("extraction", "extracted_at_fdr", 0.05), (attack, "auc", None))
    for ax, (source, metric, level) in zip(plugin.figure.axes, measures, strict=True):
        bars = {tuple(map(float, li.get_ydata())) for li in ax.lines if len(set(li.get_xdata())) == 1}
        for point in summary.points:
            value = summary.value(point, source, metric, level=level)
            assert value is not None
            assert (value.low, value.high) in bars
    assert f"AUC of {attack}, which has the highest" in plugin.caption
    assert [ax.get_ylabel() for ax in plugin.figure.axes] == ["FID", "extracted,\n5% FDR", f"AUC of\n{attack}"]
    assert plugin.figure.axes[-1].get_xlabel() == "training steps"


def test_several_runs_have_their_own_undefended_models(tmp_path: Path) -> None:
    other = run_of(tmp_path / "other", [Strength("none", fid=30, steps=800), *STOPS[1:]], name="other")
    run = combined([run_of(tmp_path / "one", [NONE, *STOPS]), other])
    ends = {Point(f"{name}: none", ""): steps for name, steps in (("synthetic", 4000), ("other", 800))}
    lines = lines_of(run)
    assert len(lines) == 2
    at = {(x, y) for line in lines.values() for x, y in line}
    for point, steps in ends.items():
        assert (steps, run.summary.fid(point).value) in at  # type: ignore[union-attr]
    for line in lines.values():
        assert (np.diff([x for x, _ in line]) > 0).all()


@pytest.mark.parametrize("lines", [1, 2, 4])
def test_the_timeline_is_legible(lines: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"early_stop": "none", "dedup+early_stop": "dedup", "stopped, with a long name": "a", "stopped": "b"}
    crowd = [Strength(name, f"steps={k}", 12 * (4000 / k) ** (0.5 + i / 4), leak=k / 4000, whole=whole)
             for i, (name, whole) in enumerate([*names.items()][:lines])
             for k in (250, 500, 1000, 2000, 3000)]  # fmt: skip
    assert_legible(*written("timeline", run_of(tmp_path, [NONE, *crowd, Strength("dedup")]), monkeypatch))


def test_without_two_numbers_of_steps_nothing_is_drawn(tmp_path: Path) -> None:
    x, plugin = Strength("x", "steps=7", whole="y"), figures.get("timeline")()
    reason = NotDrawn("no two models differ in their number of training steps alone")
    for number, strengths in enumerate(([NONE, *OTHERS], [NONE, *OTHERS[:1], STOPS[0], x])):
        run = run_of(tmp_path / str(number), strengths)
        assert (plugin.draw(run) == reason) == (number == 0)
    assert plugin.draw(run_of(tmp_path / "one", [x])) == reason
    run.rows[run.rows["metric"] != "training_steps"].to_csv(run.folder / "results.csv", index=False, na_rep="nan")
    assert plugin.draw(RunData(run.folder)) == reason
