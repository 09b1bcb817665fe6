"""The report says what the rows say, shows it without collisions, and needs nothing but itself."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from rich.console import Console

from leakfront.errors import InputError
from leakfront.results.figures import Drawn, NotDrawn, figures, save
from leakfront.results.figures.drawing import style
from leakfront.results.figures.drawing.end_labels import spread
from leakfront.results.figures.drawing.looks import BLACK, in_order, looks_of
from leakfront.results.figures.drawing.matrix import short
from leakfront.results.page.findings import findings
from leakfront.results.report import ORDER, combined, write_report
from leakfront.results.run.data import RunData
from leakfront.results.run.families import FAMILIES, family
from leakfront.results.run.point import Point
from leakfront.results.run.value import Value
from leakfront.results.tables.attacks import attack_table, suite_table
from leakfront.results.tables.cost import cost_table
from leakfront.results.tables.main import main_table, terminal
from leakfront.results.tables.table import Column, Table, latex, number, shown
from tests.few_figures import as_svg, only
from tests.synthetic_run import TWELVE, TWO, V1, Strength, synthetic_run

HOSTILE = "<script>alert(1)</script> & \"a\" 'b' | 50%_$x^{2}$ \\input{x} [red] {{ 7 * 7 }} {% raw %}"
SMALL = {"pool": 128, "samples": 150, "attacks": ("extraction", "loss")}
OF_CAPTIONS = "copies"  # drawn of runs that ask with captions: see test_copies.py
# two models have no curve, and nothing was inpainted or asked for by captions
NOT_OF_TWO = ("matched", "timeline", "inpainting", OF_CAPTIONS)
REASON = "left out: it needs 9 shadow models (other splits of the same defense), and there are 2"


class Page(HTMLParser):
    """The tags, attributes, text and tables of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.tables: list[list[list[str]]] = []
        self._in_cell = self._joined = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "wbr":  # no more than a place where a line may end
            self._joined = True
            return
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_cell and data.strip():
            space = " " if self.tables[-1][-1][-1] and not self._joined else ""
            self.tables[-1][-1][-1] += space + data.strip()
        self._joined = False


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    return synthetic_run(tmp_path_factory.mktemp("two"), TWO)


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    return synthetic_run(tmp_path_factory.mktemp("twelve"), TWELVE, pool=192, samples=200)


@pytest.fixture(scope="module")
def two_v1(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    folder = tmp_path_factory.mktemp("two_v1")
    return synthetic_run(folder, TWO, attacks=V1, suite="v1", left_out={"gsa1": REASON})


@pytest.fixture(scope="module")
def twelve_v1(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    folder = tmp_path_factory.mktemp("twelve_v1")
    return synthetic_run(folder, TWELVE, pool=256, samples=200, attacks=V1, suite="v1")


@pytest.fixture(scope="module")
def two_report(two: RunData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report([two], tmp_path_factory.mktemp("two_report")).parent


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    strengths = [Strength("none", copied=10, leak=1), Strength(HOSTILE, HOSTILE, epsilon=1.0)]
    run = synthetic_run(tmp_path_factory.mktemp("hostile"), strengths, title=HOSTILE, suite=HOSTILE, **SMALL)
    with as_svg():
        return write_report([run], tmp_path_factory.mktemp("hostile_report")).parent


def drawn(name: str, run: RunData) -> Drawn:
    """A figure of a run that has something to draw."""
    with style.theme():
        result = figures.get(name)().draw(run)
    assert isinstance(result, Drawn), result
    return result


shared = cache(drawn)  # for tests that only look at the figure of one run


def row(
    run: RunData, defense: str, params: str, source: str, metric: str, split: str = "all", level: float | None = None
) -> pd.Series:
    rows = run.rows
    mask = (rows["defense"] == defense) & (rows["params"] == params) & (rows["source"] == source)
    mask &= rows["level"].isna() if level is None else rows["level"] == level
    return rows[mask & (rows["metric"] == metric) & (rows["split"] == split)].iloc[0]


# numbers ------------------------------------------------------------------------------------------------------------


def test_every_number_of_the_csv_is_the_one_of_the_row(two: RunData, two_report: Path) -> None:
    sources = {"fid": ("fid", "fid_embedded", None), "kid": ("kid", "kid_embedded", None),
               "extracted": ("extraction", "extracted_at_fdr", 0.05), "auc_loss": ("loss", "auc", None),
               "planted_extracted": ("extraction", "planted_extracted_at_fdr", 0.05),
               "training_seconds": ("train", "training_seconds", None)}  # fmt: skip
    with (two_report / "tables" / "main.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["defense"], line["params"]) for line in lines] == [(s.defense, s.params) for s in TWO]
    for line in lines:
        for key, (source, metric, level) in sources.items():
            expected = row(two, line["defense"], line["params"], source, metric, level=level)
            assert float(line[key]) == expected["value"]
            if np.isfinite(expected["ci_low"]):
                assert (float(line[f"{key}_low"]), float(line[f"{key}_high"])) == (
                    expected["ci_low"],
                    expected["ci_high"],
                )


def test_the_page_prints_the_rows_of_every_table(two: RunData, two_report: Path) -> None:
    page = Page((two_report / "index.html").read_text())
    tables = (main_table(two), cost_table(two), suite_table(two), attack_table(two))
    for printed, table in zip(page.tables, tables, strict=True):
        assert table is not None
        assert printed[0] == [column.title for column in table.printed]
        assert printed[1:] == [[str(cell) for cell in line] for line in table.rows()]
    fid = row(two, "none", "", "fid", "fid_embedded")
    assert f"{fid['value']:.3g} [{fid['ci_low']:.3g}, {fid['ci_high']:.3g}]" in page.tables[0][1]


def test_markdown_and_latex_hold_the_same_cells(two: RunData, two_report: Path) -> None:
    cells = main_table(two).rows()
    markdown = (two_report / "tables" / "main.md").read_text().splitlines()[2:4]
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown] == [
        [str(cell) for cell in line] for line in cells
    ]
    tex = (two_report / "tables" / "main.tex").read_text()
    assert tex.count(r"\\") == 1 + len(cells)
    assert all(cell.interval in tex and latex(cell.word) in tex for line in cells for cell in line)
    assert all(rule in tex for rule in (r"\toprule", r"\midrule", r"\bottomrule"))


def test_a_number_that_is_not_there_is_a_dash_with_its_reason(two: RunData) -> None:
    table = attack_table(two)
    unattainable = next(column for column in table.columns if column.key == "tpr_at_fpr_0.001")
    assert {str(cell) for cell in unattainable.cells} == {"–"}
    assert any("not attainable with" in note for note in table.notes)
    assert "not attainable" in table.to_csv()


def test_where_nothing_was_planted_nothing_is_said_of_it(two: RunData) -> None:
    unplanted = RunData(two.folder)
    unplanted.rows.loc[unplanted.rows["metric"] == "planted_extracted_at_fdr", "n"] = 0
    for run, said in ((two, True), (unplanted, False)):
        cells = next(column for column in main_table(run).columns if column.key == "extracted").cells
        assert all(cell.word.endswith(" planted)") == said for cell in cells)
        assert ("planted_extracted" in [column.key for column in main_table(run).columns]) == said


def test_numbers_keep_three_digits_and_never_an_exponent() -> None:
    assert [number(x) for x in (0, 29, 12.54, 0.129, 2048.4, -2, np.nan)] == [
        "0", "29", "12.5", "0.129", "2,048", "−2", "–"]  # fmt: skip
    assert number(0.5, 2) == "0.50"
    assert str(shown(Value(0.5, 0.4, np.inf, 1, ""), 2)) == "0.50"  # a bound has no interval


# many attacks -------------------------------------------------------------------------------------------------------


def test_every_attack_has_one_family(two_v1: RunData, two: RunData) -> None:
    families = two_v1.summary.families()
    assert sorted(attack for group in families.values() for attack in group) == sorted(V1)
    assert families["control"] == ["blind"]
    assert "side" in families["samples"]  # what it finds is counted
    assert set(families["gradients"]) == {"gsa1", "gsa2", "trajectory"}
    assert "lira_online" in families["fitted"]
    assert "pia" in families["loss"]
    assert family({}) in FAMILIES
    assert two.summary.families() == {"samples": ["extraction"], "loss": ["loss", "pia", "secmi"]}


def test_the_suite_table_says_what_the_rows_say(two_v1: RunData) -> None:
    table = suite_table(two_v1)
    lines = {line["attack"]: line for line in csv.DictReader(io.StringIO(table.to_csv()))}
    assert sorted(lines) == sorted(V1)
    for attack, line in lines.items():
        assert (line["access"], line["shadows"]) == tuple(
            two_v1.info["attack_facts"][attack][key] for key in ("access", "shadows")
        )
        if attack == "gsa1":
            assert line["auc"] == line["model_calls_per_image"] == ""
            assert line["note"] == REASON
            continue
        assert float(line["tpr_at_fpr_0.01"]) == row(two_v1, "none", "", attack, "tpr_at_fpr", level=0.01)["value"]
        for metric in ("auc", "model_calls_per_image", "scoring_seconds"):
            assert float(line[metric]) == row(two_v1, "none", "", attack, metric)["value"]
        assert line["note"] == ""
    together, apart = (
        row(two_v1, "none", "", "suite", f"model_calls_per_image{end}")["value"] for end in ("", "_apart")
    )
    notes = " ".join(table.notes)
    assert f"makes {number(together)} model calls per pool image, including those for samples" in notes
    assert f"made one at a time, would make {number(apart)}." in notes
    assert "attack suite v1" in notes


def test_a_suite_table_without_facts_or_costs_is_still_a_table(two: RunData, tmp_path: Path) -> None:
    run = synthetic_run(tmp_path, TWO[:1], splits=1, **SMALL)
    info = json.loads((tmp_path / "run.json").read_text())
    del info["attack_facts"], info["attack_notes"]
    (tmp_path / "run.json").write_text(json.dumps(info))
    run.rows[run.rows["kind"] != "cost"].to_csv(tmp_path / "results.csv", index=False, na_rep="nan")
    lines = list(csv.DictReader(io.StringIO(suite_table(RunData(tmp_path)).to_csv())))
    assert [line["attack"] for line in lines] == ["extraction", "loss"]
    assert [line["model_calls_per_image"] for line in lines] == ["", ""]


def test_of_many_attacks_the_main_table_prints_the_highest_and_keeps_all_in_the_csv(two_v1: RunData) -> None:
    table = main_table(two_v1)
    titles = [column.title for column in table.printed]
    assert {"Highest AUC", "Highest TPR at 1% FPR"} < set(titles)
    assert not any(title.startswith("AUC") for title in titles)
    line = next(csv.DictReader(io.StringIO(table.to_csv())))
    best = max((a for a in V1 if a not in ("gsa1", "blind")), key=lambda a: float(line[f"auc_{a}"]))
    assert (line["auc_attack"], line["auc"]) == (best, line[f"auc_{best}"])
    printed = str(next(column for column in table.columns if column.key == "auc").cells[0])
    assert printed == f"{shown(two_v1.summary.value(Point('none', ''), best, 'auc'), 3)} {best}"


def test_the_page_lists_the_notes_of_the_attacks(two_v1: RunData, tmp_path: Path) -> None:
    with only("roc"), as_svg():
        page = Page(write_report([two_v1], tmp_path).read_text())
    assert f"Attack gsa1: {REASON}." in page.text
    assert page.tables[2][0][:3] == ["Attack", "Access", "Shadows"]
    assert len(page.tables[2]) == 1 + len(V1)
    assert "Grey dashes: the control" in page.text


@pytest.mark.parametrize(
    ("name", "metric", "level", "guess"), [("heatmap", "tpr_at_fpr", 0.01, 0.01), ("membership", "auc", None, 0.5)]
)
def test_a_matrix_prints_the_rows_and_marks_what_is_told_apart(
    name: str, metric: str, level: float | None, guess: float, twelve_v1: RunData
) -> None:
    (ax,) = shared(name, twelve_v1).figure.axes
    attacks = {round(y, 3): text.get_text() for y, text in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)}
    printed = {}
    for text in ax.texts:
        x, y = text.get_position()
        if round(y, 3) in attacks and float(x).is_integer() and re.fullmatch(r"[01]?\.?\d*", text.get_text()):
            printed[attacks[round(y, 3)], int(x)] = (text.get_text(), text.get_fontweight() == "bold")
    assert len(printed) == len(V1) * len(TWELVE)
    for column, strength in enumerate(TWELVE):
        for attack in V1:
            expected = row(twelve_v1, strength.defense, strength.params, attack, metric, level=level)
            low, high = expected["ci_low"] > guess, expected["ci_high"] < guess and metric == "auc"
            assert printed[attack, column] == (short(expected["value"]), low or high)


def test_numbers_in_a_matrix_are_short() -> None:
    assert [short(x) for x in (0.0, 0.001, 0.034, 0.5, 0.996, 1.0)] == ["0", ".00", ".03", ".50", "1", "1"]


def test_what_was_left_out_is_hatched(two_v1: RunData) -> None:
    (ax,) = shared("heatmap", two_v1).figure.axes
    hatched = {patch.get_y() + 0.5 for patch in ax.patches if patch.get_hatch()}
    rows = {text.get_text(): y for y, text in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)}
    assert hatched == {rows["gsa1"]}


def test_many_roc_curves_have_a_panel_for_each_family_with_the_control(two_v1: RunData) -> None:
    roc = shared("roc", two_v1)
    families = {name: group for name, group in two_v1.summary.families().items() if name != "control"}
    assert len(roc.figure.axes) == len(families)
    for ax, (name, group) in zip(roc.figure.axes, families.items(), strict=True):
        attacks = [attack for attack in group if attack != "gsa1"]
        shown_aucs = {}
        for text in ax.get_legend().get_texts():
            value, attack = text.get_text().split()
            shown_aucs[attack] = value
        assert sorted(shown_aucs) == sorted([*attacks, "blind"])
        for attack, value in shown_aucs.items():
            assert value == f"{row(two_v1, 'none', '', attack, 'auc', '0')['value']:.2f}"
        assert bool(ax.collections) == (len(attacks) <= 2), name
    assert "the pointwise 95% band" in roc.caption


def test_inpainting_shows_the_best_of_both_sides_with_their_errors(two_v1: RunData, two: RunData) -> None:
    figure = shared("inpainting", two_v1).figure
    cell = two_v1.undefended_cell
    assert cell is not None
    assert (cell.defense, cell.split) == ("none", "0")
    scores, members = two_v1.scores(cell, "inpainting"), two_v1.members(cell)
    for ax, side in zip(figure.axes, (members, ~members), strict=True):
        best = sorted(np.flatnonzero(side), key=lambda image: -scores["score"][image])[:8]
        assert [text.get_text() for text in ax.texts] == [f"{scores['errors'][image]:.3f}" for image in best]
        assert len(ax.images) == 3 * len(best)
        np.testing.assert_allclose(ax.images[2].get_array(), scores["inpainted"][best[0], 0] / 255)
    without = figures.get("inpainting")().draw(two)
    assert isinstance(without, NotDrawn)
    assert "inpainting attack was not run" in without.reason


def test_hostile_notes_and_facts_are_text(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "run", TWO[:1], splits=1, **SMALL)
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    info["attack_notes"] = [f"attack loss: {HOSTILE}"]
    info["attack_facts"]["loss"] |= {"access": HOSTILE, "note": HOSTILE}
    (tmp_path / "run" / "run.json").write_text(json.dumps(info))
    with only("roc", "heatmap"), as_svg():
        page = Page(write_report([RunData(tmp_path / "run")], tmp_path / "report").read_text())
    assert page.tags.count("script") == 1
    assert f"Attack loss: {HOSTILE}." in page.text
    assert page.tables[1][2][1] == HOSTILE
    assert page.tables[1][2][-1] == HOSTILE
    markdown = (tmp_path / "report" / "tables" / "suite.md").read_text()
    assert "<script>" not in markdown
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in markdown.splitlines()[:4]}) == 1


# the page -----------------------------------------------------------------------------------------------------------


def test_the_page_needs_no_network_and_has_one_script(two_report: Path) -> None:
    text = (two_report / "index.html").read_text()
    page = Page(text)
    assert not {"link", "iframe", "object"} & set(page.tags)
    assert page.tags.count("script") == 1
    assert "http://" not in text
    assert "https://" not in text
    addresses = [value or "" for name, value in page.attributes if name in ("src", "href")]
    beside = ["release.html", "images.html", "model_card.md"]
    assert addresses[:3] == beside
    assert all((two_report / name).is_file() for name in beside)
    assert len(addresses[3:]) == len(ORDER) - len(NOT_OF_TWO)
    for address in addresses[3:]:
        head, _, data = address.partition(",")
        assert head == "data:image/svg+xml;base64"
        svg = base64.b64decode(data).decode()
        assert not re.findall(r"<(script|foreignObject)", svg)
        outside = re.findall(r'href="(?!#|data:)', svg)
        assert not outside


def test_the_page_states_its_conditions_and_where_it_comes_from(two_report: Path) -> None:
    text = Page((two_report / "index.html").read_text()).text
    for stated in ("Pool of 256 digits images", "3 splits", "400 samples from each model", "embedded features",
                   "600 real images", "0" * 40, "uncommitted changes", "torch 2.13.0", "a processor", "sha256:abc",
                   'dataset = "digits"', "audit_delta"):  # fmt: skip
        assert stated in text
    assert text.count("400 samples from each model") >= len(ORDER) - len(NOT_OF_TWO)  # in every caption


def test_hostile_names_are_text(hostile_report: Path) -> None:
    page = Page((hostile_report / "index.html").read_text())
    assert page.tags.count("script") == 1
    assert HOSTILE in page.text
    assert page.tables[0][2][0] == f"{HOSTILE} {HOSTILE}"


def test_hostile_names_do_not_break_markdown_latex_or_csv(hostile_report: Path) -> None:
    tables = hostile_report / "tables"
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in (tables / "main.md").read_text().splitlines()[:4]}
    assert len(widths) == 1
    assert "<script>" not in (tables / "main.md").read_text()
    line = next(x for x in (tables / "main.tex").read_text().splitlines() if "script" in x and not x.startswith("%"))
    bare = re.sub(r"\\[%&$#_{}]|\\text\w+\{\}|\\scriptsize|\$\\varepsilon\$|\$\\delta\$|\$-\$", "", line)
    assert not set("%$#_^~<>\\") & set(bare.removesuffix(r"\\"))
    assert bare.count("{") == bare.count("}")
    with (tables / "main.csv").open() as file:
        assert list(csv.DictReader(file))[1]["defense"] == HOSTILE


def test_latex_makes_every_special_character_harmless() -> None:
    assert latex("a_b & 50% $x$ #1 {y} ~ ^ \\z") == (
        r"a\_b \& 50\% \$x\$ \#1 \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}z"
    )
    assert latex("a\nb\rc\x0bd\u2028e") == "a b c d e"  # any of them may end the comment that a note is printed in


def test_markdown_has_no_links_and_no_lines_of_its_own(tmp_path: Path) -> None:
    table = Table((Column("defense", "Defense", ("[a](javascript:b)\r\nc",)),), ("![d](e)",))
    assert table.to_markdown() == "| Defense |\n| --- |\n| [a]\\(javascript:b)  c |\n\n![d]\\(e)\n"


def files_in(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_report_has_every_figure_and_table_in_three_forms(two_report: Path) -> None:
    # three pages, and what model cards take
    assert len(files_in(two_report)) == 3 * (len(ORDER) - len(NOT_OF_TWO)) + 3 * 4 + 5


def test_the_same_run_gives_the_same_bytes(two: RunData, two_report: Path, tmp_path: Path) -> None:
    """Of each figure alone `check_figure` says so: see `tests/testing/test_good_plugins.py`."""
    with only("membership", "heatmap"):
        first, again = (files_in(write_report([RunData(two.folder)], tmp_path / name).parent) for name in "ab")
    assert len(first) == 3 * 2 + 3 * 4 + 5
    assert first == again
    whole = files_in(two_report)
    assert [path for path in first if first[path] != whole[path]] == [Path("index.html")]  # which has more figures


# several runs -------------------------------------------------------------------------------------------------------


def test_runs_of_one_protocol_are_drawn_together(two: RunData, tmp_path: Path) -> None:
    other = synthetic_run(
        tmp_path / "other", [TWO[0], Strength("dp_sgd", "epsilon=1", fid=300, epsilon=1.0)], name="other"
    )
    both = combined([two, other])
    assert both.summary.defenses == ["synthetic: none", "synthetic: dedup", "other: none", "other: dp_sgd"]
    paragraphs = {one.subject: one.text for one in findings(both).strengths}
    assert "against" in paragraphs["other: dp_sgd (epsilon=1)"]
    assert "for other: none" in paragraphs["other: dp_sgd (epsilon=1)"]
    assert main_table(both).rows()[3][1].text == "ε = 1, δ = 1e-05"
    value = both.summary.fid(Point("other: none", ""))
    assert value is not None
    assert value.value == row(other, "none", "", "fid", "fid_embedded")["value"]
    assert combined([two, two]).summary.defenses[2] == "synthetic #2: none"
    for name in ("gallery", "extraction_curve"):
        assert isinstance(figures.get(name)().draw(both), Drawn)


@pytest.mark.parametrize(
    ("change", "named"),
    [({"suite": "full"}, "suite"), ({"features": "inception"}, "features"), ({"samples": 120}, "samples_per_model"),
     ({"pool": 64}, "dataset pool")],
)  # fmt: skip
def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path, change: dict[str, object], named: str) -> None:
    settings = {**SMALL, "splits": 1}
    one = synthetic_run(tmp_path / "one", TWO[:1], **settings)
    two = synthetic_run(tmp_path / "two", TWO[:1], **{**settings, **change})
    with pytest.raises(InputError, match=named):
        combined([one, two])


# figures ------------------------------------------------------------------------------------------------------------


def test_every_figure_of_the_room_has_a_place_in_the_report() -> None:
    assert set(ORDER) == set(figures.names())


def written(name: str, run: RunData, monkeypatch: pytest.MonkeyPatch) -> tuple[list[tuple[str, Bbox]], Bbox]:
    """Every text that is really drawn in a figure of a run, with its box in pixels, and the figure's."""
    return texts_in(drawn(name, run).figure, monkeypatch)


def texts_in(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> tuple[list[tuple[str, Bbox]], Bbox]:
    """The same of a figure that is drawn already."""
    texts: dict[int, Text] = {}
    original = Text.draw

    def draw(self: Text, *args: object) -> None:
        texts[id(self)] = self
        original(self, *args)

    with style.theme(), monkeypatch.context() as patch:
        assert figure.get_figwidth() <= style.PAGE
        patch.setattr(Text, "draw", draw)
        figure.draw_without_rendering()
        renderer = figure.canvas.get_renderer()
        seen = [text for text in texts.values() if text.get_visible() and text.get_text().strip()]
        return [(text.get_text(), Text.get_window_extent(text, renderer)) for text in seen], figure.bbox


def assert_legible(boxes: list[tuple[str, Bbox]], page: Bbox) -> None:
    """No text is cut off or lies on another."""
    assert len(boxes) > 3
    for index, (text, box) in enumerate(boxes):
        inside = -1 <= box.x0 < box.x1 <= page.width + 1 and -1 <= box.y0 < box.y1 <= page.height + 1
        assert inside, f"{text!r} is cut off"
        for other, its in boxes[:index]:
            wide = min(box.x1, its.x1) - max(box.x0, its.x0)
            high = min(box.y1, its.y1) - max(box.y0, its.y0)
            assert not (wide > 2 and high > 2), f"{text!r} overlaps {other!r}"


def test_fonts_are_embedded_and_figures_are_one_column_wide(two_report: Path) -> None:
    pdf = (two_report / "figures" / "tradeoff.pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", pdf)
    assert box is not None
    assert float(box[1]) == pytest.approx(3.35 * 72, abs=0.5)


def test_lines_look_different_and_one_that_is_added_leaves_the_others_alone() -> None:
    lines = list(dict.fromkeys(s.defense for s in TWELVE))
    for many in (lines, [f"plugin {place}" for place in range(60)]):
        looks = in_order(many, {"none"})
        assert len({(look.colour, look.marker) for look in looks.values()}) == len(looks)
        assert in_order(many[:-1], {"none"}) == {line: looks[line] for line in many[:-1]}
    assert len({look.colour for look in in_order(lines[1:8]).values()}) == 7


def test_undefended_models_are_black_and_no_defense_is(two: RunData) -> None:
    both = combined([two, two])
    for run in (two, both):
        summary = run.summary
        black = [line for line, look in looks_of(summary).items() if look.colour == BLACK]
        assert black == [point.defense for point in summary.baselines]
    assert len(black) == 2
    assert len({(look.colour, look.marker) for look in looks_of(both.summary).values()}) == 4


def test_nothing_to_draw_is_said_and_takes_old_files_away(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path / "run", TWO[:1], splits=1, **SMALL)
    rows = run.rows[
        ~run.rows["metric"].isin(["fid_embedded", "kid_embedded", "epsilon_lower_bound", "training_seconds"])
    ]
    rows.to_csv(tmp_path / "run" / "results.csv", index=False, na_rep="nan")
    stale = tmp_path / "report" / "figures" / "tradeoff.pdf"
    stale.parent.mkdir(parents=True)
    stale.write_text("old")
    with only("tradeoff", "audit"):
        text = Page(write_report([RunData(tmp_path / "run")], tmp_path / "report").read_text()).text
    assert "Privacy against utility: not drawn, no defense has both a FID and an extraction row." in text
    assert "no attack has an audited lower bound on epsilon" in text
    assert not stale.exists()


def test_the_end_of_the_extraction_curve_is_the_count_of_the_row(two: RunData) -> None:
    from leakfront.results.figures.extraction_curve import _curve

    summary = two.summary
    for cell in two.cells:
        found = summary.extracted(Point(cell.defense, cell.params), cell.split)
        assert found is not None
        assert _curve(two, summary, cell)["controlled"][-1] == pytest.approx(found.value)


def test_the_extraction_curve_counts_in_the_order_of_the_samples(two: RunData) -> None:
    from leakfront.results.figures.extraction_curve import _curve

    cell = two.cells[0]
    curve, members, scores = _curve(two, two.summary, cell), two.members(cell), two.scores(cell, "extraction")
    seen: dict[bool, set[int]] = {True: set(), False: set()}
    counts = []
    for images, distances in zip(scores["neighbours"], scores["neighbour_scores"], strict=True):
        for image in images[distances < 1]:
            seen[bool(members[image])].add(int(image))
        counts.append((len(seen[True]), len(seen[False])))
    assert counts[-1][0] > 20
    assert [tuple(pair) for pair in zip(curve["members"], curve["decoys"], strict=True)] == [
        counts[m - 1] for m in curve["at"]
    ]


def test_the_expected_curve_goes_on_to_four_times_the_samples_and_is_a_floor(two: RunData) -> None:
    from leakfront.results.figures.extraction_curve import _curve

    curve = _curve(two, two.summary, two.cells[0])
    scores, members = two.scores(two.cells[0], "extraction"), two.members(two.cells[0])
    samples = len(scores["neighbours"])
    assert curve["beyond"][-1] == 4 * samples
    hits = np.bincount(scores["neighbours"][scores["neighbour_scores"] < 1], minlength=len(members))[members]
    by_hand = sum(1 - (1 - h / samples) ** (4 * samples) for h in hits)
    assert curve["members expected"][-1] == pytest.approx(by_hand)
    assert by_hand <= curve["members"][-1]


def test_end_labels_are_spread_and_stay_near() -> None:
    at = spread([0.0, 0.0, 1.0, 50.0], gap=6, top=60)
    assert np.diff(at).min() >= 6 - 1e-9
    assert at[-1] == 50
    assert min(at) >= 0
    assert max(spread([58.0, 59.0, 60.0], gap=6, top=60)) <= 60 + 1e-9


def test_a_saved_figure_has_three_forms(two: RunData, tmp_path: Path) -> None:
    paths = save(drawn("membership", two).figure, tmp_path, "membership")
    assert [path.suffix for path in paths] == [".pdf", ".svg", ".png"]


@pytest.mark.parametrize("suffix", ["pdf", "svg", "png"])
def test_a_figure_that_a_full_disk_does_not_take_is_an_error_of_the_disk(
    suffix: str, two: RunData, tmp_path: Path
) -> None:
    (tmp_path / f"membership.{suffix}").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        save(drawn("membership", two).figure, tmp_path, "membership")


# the terminal -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_table_fits_and_shows_the_numbers(twelve: RunData, width: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(terminal(twelve))
    text = console.export_text()
    assert max(len(line) for line in text.splitlines()) <= width
    summary = twelve.summary
    for point in summary.points:
        fid = summary.fid(point)
        assert fid is not None
        assert number(fid.value) in text
        assert shown(fid).interval in text


def test_a_hostile_name_is_text_in_the_terminal(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path, [Strength("none"), Strength("[red]x[/red]")], splits=1, **SMALL)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(terminal(run))
    assert "[red]x[/red]" in console.export_text()


def test_without_fid_kid_stands_in_its_place(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path, TWO, **SMALL)
    rows = (tmp_path / "results.csv").read_text().splitlines()
    (tmp_path / "results.csv").write_text("\n".join(row for row in rows if ",fid," not in row) + "\n")
    console = Console(record=True, width=80)
    console.print(terminal(RunData(run.folder)))
    said = console.export_text()
    assert re.search(r"^ Defense +KID ", said, re.M)
    assert "FID" not in said
