"""The fronts show the rows, a panel for each defense where one could not hold them, and what each defense promises."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from leakfront.results.figures import Drawn, NotDrawn, figures
from leakfront.results.figures.drawing import style
from leakfront.results.figures.drawing.front_data import Chart, Promise, gather
from leakfront.results.figures.drawing.looks import looks_of
from leakfront.results.report import combined
from leakfront.results.run.data import RunData
from leakfront.results.run.point import Point
from tests.results.test_report import HOSTILE, SMALL, assert_legible, written
from tests.synthetic_run import TWELVE, TWO, Strength, synthetic_run

NAMES = ("tradeoff", "tradeoff_auc")
EIGHT = [s for s in TWELVE if s.defense in
         ("none", "dedup", "augment", "early_stop", "dp_sgd", "capacity", "guidance", "filter")]  # fmt: skip


def run_of(folder: Path, strengths: Sequence[Strength], **settings: object) -> RunData:
    return synthetic_run(folder, strengths, **{**SMALL, **settings})


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    return run_of(tmp_path_factory.mktemp("twelve"), TWELVE)


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    return run_of(tmp_path_factory.mktemp("eight"), EIGHT)


def chart_of(run: RunData, name: str) -> Chart:
    found = gather(run, "extraction", "extracted_at_fdr", "extracted", level=0.05) if name == "tradeoff" else \
        gather(run, auc_attack(run), "auc", "AUC", guess=0.5)  # fmt: skip
    assert found is not None
    return found


def auc_attack(run: RunData) -> str:
    summary = run.summary
    strongest = summary.strongest(summary.undefended, "auc")
    assert strongest is not None
    return strongest[0]


@cache
def drawn(name: str, run: RunData) -> tuple[Figure, str]:
    """A figure and its caption; tests of one run share it."""
    result = figures.get(name)().draw(run)
    assert isinstance(result, Drawn), result
    return result.figure, result.caption


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def marked(ax: Axes, colour: str, marker: str, size: float) -> set[tuple[float, float]]:
    """Where markers of this look stand."""
    lines = [li for li in ax.lines if (li.get_color(), li.get_marker(), li.get_markersize()) == (colour, marker, size)]
    return {(float(x), float(y)) for line in lines for x, y in zip(*line.get_data(), strict=True)}


# one panel or many --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_eight_lines_share_a_panel_and_nine_have_one_each(name: str, eight: RunData, tmp_path: Path) -> None:
    figure, _ = drawn(name, eight)
    assert len(figure.axes) == 1
    assert figure.get_figwidth() == style.WIDTH
    more, _ = drawn(name, run_of(tmp_path, [*EIGHT, Strength("distill", fid=16)]))
    assert len(more.axes) == 8  # all but the undefended model's
    assert more.get_figwidth() == style.PAGE


@pytest.mark.parametrize("name", NAMES)
def test_a_panel_shows_its_defense_the_undefended_model_and_all_other_points(name: str, twelve: RunData) -> None:
    chart, (figure, _) = chart_of(twelve, name), drawn(name, twelve)
    assert [ax.texts[1].get_text() for ax in figure.axes] == chart.defended
    (base,) = chart.of("none")
    for ax, line in zip(figure.axes, chart.defended, strict=True):
        look, mine = chart.looks[line], {mark.at for mark in chart.of(line)}
        assert marked(ax, look.colour, look.marker, 3.2) == mine
        assert marked(ax, "#000000", "o", 2.8) == {base.at}
        grey = marked(ax, "#a9a9a9", "o", 1.8)
        assert grey == {mark.at for mark in chart.marks} - mine - {base.at}
        assert ax.texts[1].get_color() == look.colour
        strengths = [style.strength(mark.point.params) for mark in chart.of(line) if mark.point.params]
        assert set(strengths) <= set(texts(ax))
        rings = {at for mark in (*chart.of(line), base) if mark.on_front for at in [mark.at]}
        assert {at for size in (6.3, 5.5) for at in marked(ax, style.GREY, "o", size)} <= rings
    assert sum("held-out images" in texts(ax) for ax in figure.axes) == 1
    assert sum("undefended" in texts(ax) for ax in figure.axes) == 1


def test_tick_labels_stand_on_the_outer_panels_only(tmp_path: Path) -> None:
    figure, _ = drawn("tradeoff", run_of(tmp_path, TWELVE[:-1]))  # 11 panels in rows of 4
    assert [ax.xaxis.get_tick_params()["labelbottom"] for ax in figure.axes] == [False] * 7 + [True] * 4
    assert [ax.yaxis.get_tick_params()["labelleft"] for ax in figure.axes] == [n % 4 == 0 for n in range(11)]
    assert len({tuple(ax.get_xlim() + ax.get_ylim()) for ax in figure.axes}) == 1


@pytest.fixture(scope="module")
def crowds(twelve: RunData, tmp_path_factory: pytest.TempPathFactory) -> list[RunData]:
    """Long names and numbers, several runs, and a defense at many strengths."""

    def plugin(number: int, strength: int) -> Strength:
        return Strength(f"{HOSTILE} {'W' * number}", f"width={strength},{HOSTILE}", 13 + 2 * number * (strength + 1),
                        25 if number % 3 else 0, 1 - 0.05 * number, past=29 if number % 5 == 1 else None)  # fmt: skip

    folder = tmp_path_factory.mktemp("crowds")
    long = run_of(folder / "long", [TWO[0], *[plugin(i, j) for i in range(13) for j in range(2)]])
    other = run_of(folder / "other", [replace(s, fid=1.3 * s.fid) for s in TWELVE[:9]], name="other")
    steps = [Strength("early_stop", f"steps={100 * step}", 13 + 3 * step, 26 - step) for step in range(9)]
    return [long, combined([twelve, other]), run_of(folder / "steps", [*TWELVE[:4], *TWELVE[6:], *steps])]


@pytest.mark.parametrize("name", NAMES)
def test_panels_are_legible_in_a_crowd(name: str, crowds: list[RunData], monkeypatch: pytest.MonkeyPatch) -> None:
    for run in crowds:
        assert_legible(*written(name, run, monkeypatch))


def test_no_type_is_too_small(twelve: RunData) -> None:
    for name in NAMES:
        found = [text for text in drawn(name, twelve)[0].findobj(Text) if text.get_text().strip()]
        assert min(text.get_fontsize() for text in found) >= 5


def test_every_panel_of_several_runs_has_the_undefended_model_of_its_own_run(twelve: RunData, tmp_path: Path) -> None:
    other = run_of(tmp_path, [replace(s, fid=1.3 * s.fid) for s in TWELVE[:4]], name="other")
    run = combined([twelve, other])
    chart, (figure, _) = chart_of(run, "tradeoff"), drawn("tradeoff", run)
    assert not [line for line in chart.defended if line.endswith(": none")]
    for ax, line in zip(figure.axes, chart.defended, strict=True):
        (base,) = chart.of(f"{line.partition(':')[0]}: none")
        assert marked(ax, "#000000", "o", 2.8) == {base.at}


def test_without_an_undefended_model_there_is_none_to_show(tmp_path: Path) -> None:
    run = run_of(tmp_path, [s for s in TWELVE if s.defense != "none"], splits=1)
    for name in NAMES:
        figure, caption = drawn(name, run)
        assert len(figure.axes) == 12
        assert "undefended model is black" not in caption
        assert not any("undefended" in texts(ax) for ax in figure.axes)
    assert "has the highest AUC on dedup (threshold=0.9)." in caption


@pytest.mark.parametrize("name", NAMES)
def test_the_same_rows_give_the_same_bytes(name: str, twelve: RunData) -> None:
    """As SVG; `test_report` compares all forms of a whole report."""
    first, second = io.BytesIO(), io.BytesIO()
    for file, run in ((first, twelve), (second, RunData(twelve.folder))):
        with style.theme():
            drawn(name, run)[0].savefig(file, format="svg", metadata={"Date": None})
    assert first.getvalue() == second.getvalue()


# promises -----------------------------------------------------------------------------------------------------------


def test_a_panel_says_what_its_defense_promises_and_whom_it_reaches(twelve: RunData) -> None:
    figure, caption = drawn("tradeoff", twelve)
    said = {ax.texts[1].get_text(): ax.texts[0].get_text() for ax in figure.axes}
    assert said["dedup"] == "no guarantee · all access"
    assert said["dp_sgd"] == said["dedup+dp_sgd"] == "(ε, δ)-DP · all access"
    assert said["filter"] == "no guarantee · as served only"
    assert "what the defense promises" in caption
    assert "DP: every strength" not in caption


def test_a_label_says_what_its_line_promises(eight: RunData, tmp_path: Path) -> None:
    figure, caption = drawn("tradeoff", eight)
    said = texts(figure.axes[0])
    assert {"none", "dedup", "dp_sgd (DP)", "guidance (served)", "filter (served)"} <= set(said)
    assert "DP: every strength" in caption
    assert "Served: the defense guards the sampler" in caption
    _, plain = drawn("tradeoff", run_of(tmp_path, TWO))
    assert "DP: every" not in plain
    assert "Served:" not in plain


@pytest.mark.parametrize(
    ("covers", "stated", "expected", "served"),
    [
        ("samples, loss, gradients", (1, 1), "(ε, δ)-DP · all access", False),
        ("samples, loss, gradients", (1, 0), "(ε, δ)-DP in part · all access", False),
        ("samples as served; nothing with the weights", (0, 0), "no guarantee · as served only", True),
        ("samples, loss, gradients; samples as served; nothing with the weights", (0, 0),
         "no guarantee · all access; as served only", False),
        ("whoever asks twice", (0, 0), "no guarantee · whoever asks twice", False),
        ("–", (0, 0), "no guarantee", False),
        (None, (0, 0), "no guarantee", False),
    ],
)  # fmt: skip
def test_promises_are_those_of_the_run(
    covers: str | None, stated: tuple[int, int], expected: str, served: bool, tmp_path: Path
) -> None:
    run = run_of(tmp_path, [Strength("x", "a=1", epsilon=1.0 if stated[0] else None),
                            Strength("x", "a=2", epsilon=1.0 if stated[1] else None)], splits=1)  # fmt: skip
    info = json.loads((tmp_path / "run.json").read_text())
    info["covers"] = {"x (a=1)": covers, "x (a=2)": covers} if covers is not None else {}
    (tmp_path / "run.json").write_text(json.dumps(info))
    promise = chart_of(RunData(run.folder), "tradeoff").promises["x"]
    assert (str(promise), promise.served, promise.private) == (expected, served, stated == (1, 1))
    assert isinstance(promise, Promise)


# AUC ----------------------------------------------------------------------------------------------------------------


def test_the_front_of_auc_is_that_of_one_attack_and_never_of_the_control(tmp_path: Path) -> None:
    run = run_of(tmp_path, TWO, attacks=("blind", "extraction", "loss"), control_leak=4.0)
    figure, caption = drawn("tradeoff_auc", run)
    attack, (ax,) = auc_attack(run), figure.axes
    assert attack != "blind"
    assert ax.get_ylabel() == f"AUC of {attack}"
    assert f"{attack} has the highest AUC on the undefended model." in caption
    assert "guessing" in texts(ax)
    assert ax.get_yscale() == "linear"
    assert [list(line.get_ydata()) for line in ax.lines].count([0.5, 0.5]) == 1
    rows = run.rows[(run.rows["metric"] == "auc") & (run.rows["source"] == attack) & (run.rows["split"] == "all")]
    aucs = dict(zip(rows["defense"], rows["value"], strict=True))
    for mark in chart_of(run, "tradeoff_auc").marks:
        assert mark.leak.value == aucs[mark.point.defense]
        look = looks_of(run.summary)[mark.point.defense]
        assert marked(ax, look.colour, look.marker, 3.8) == {mark.at}


@pytest.mark.parametrize("many", [False, True])
def test_a_cross_past_a_guard_needs_a_row_of_that_attack(many: bool, tmp_path: Path) -> None:
    run = run_of(tmp_path, TWELVE if many else EIGHT, attacks=("extraction",))
    assert not any(line.get_marker() == "x" for ax in drawn("tradeoff_auc", run)[0].axes for line in ax.lines)
    served = run.rows[(run.rows["defense"] == "filter") & (run.rows["metric"] == "auc")]
    import pandas as pd

    past = served.assign(metric="auc_with_weights", value=0.83)
    pd.concat([run.rows, past]).to_csv(tmp_path / "results.csv", index=False, na_rep="nan")
    figure, caption = drawn("tradeoff_auc", RunData(tmp_path))
    fid = run.summary.fid(Point("filter", "distance=0.1"))
    assert fid is not None
    crosses = [li.get_data() for ax in figure.axes for li in ax.lines if li.get_marker() == "x"]
    assert [(float(x[0]), float(y[0])) for x, y in crosses] == [(fid.value, 0.83)]
    assert "A cross, on a dotted line" in caption
    assert "queries the model itself" not in caption


def test_the_caption_says_when_the_attack_passes_the_guards(eight: RunData, tmp_path: Path) -> None:
    _, caption = drawn("tradeoff_auc", run_of(tmp_path, EIGHT, attacks=("loss",)))
    assert "This attack queries the model itself and so bypasses a defense that only guards the sampler" in caption


def test_without_an_auc_of_the_undefended_model_nothing_is_drawn(tmp_path: Path) -> None:
    run = run_of(tmp_path, TWO, splits=1)
    run.rows[run.rows["metric"] != "auc"].to_csv(tmp_path / "results.csv", index=False, na_rep="nan")
    plugin = figures.get("tradeoff_auc")()
    assert plugin.draw(RunData(tmp_path)) == NotDrawn("no attack has an AUC on the undefended model")
    run.rows[~run.rows["metric"].str.startswith("fid")].to_csv(tmp_path / "results.csv", index=False, na_rep="nan")
    without = plugin.draw(RunData(tmp_path))
    assert isinstance(without, NotDrawn)
    assert without.reason.startswith("no defense has both a FID and an AUC of ")


def test_the_front_is_what_no_other_point_beats(twelve: RunData) -> None:
    for name in NAMES:
        marks = chart_of(twelve, name).marks
        at = np.array([mark.at for mark in marks])
        at[:, 1] = np.maximum(at[:, 1], 0.5 if name == "tradeoff_auc" else 0)
        beaten = [((at <= own).all(axis=1) & (at < own).any(axis=1)).any() for own in at]
        assert [mark.on_front for mark in marks] == [not lost for lost in beaten]


def test_less_than_guessing_is_not_better_than_guessing(eight: RunData) -> None:
    """Where all leak less than guessing gives, quality alone decides."""
    chart = gather(eight, "extraction", "extracted_at_fdr", "extracted", guess=1e6, level=0.05)
    assert chart is not None
    assert [m for m in chart.marks if m.on_front] == [min(chart.marks, key=lambda m: m.fid.value)]
