"""Figures are legible; those for slides show what a paper's show, in the shape of a slide and larger."""

from __future__ import annotations

import contextlib
import io
import re
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from leakfront.errors import InputError
from leakfront.harness.report import draw_report
from leakfront.harness.store.layout import Layout
from leakfront.results.figures import NotDrawn, figures, save
from leakfront.results.figures.drawing import enlarge, style, themes
from leakfront.results.report import ORDER
from leakfront.results.run.data import RunData
from tests.few_figures import only
from tests.results.test_report import OF_CAPTIONS, REASON, SMALL, Page, assert_legible, drawn, texts_in
from tests.synthetic_run import TWELVE, TWO, V1, synthetic_run
from tests.test_cli import invoke

SLIDE = 13 + 1 / 3  # inches
Shown = Callable[[str, str, str], Figure | None]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunData]:
    folder, many = tmp_path_factory.mktemp("runs"), {**SMALL, "attacks": V1, "pool": 192}
    left_out = {"gsa1": REASON}
    return {"two": synthetic_run(folder / "two", TWO, **SMALL),
            "two, v1": synthetic_run(folder / "v1", TWO, **many, left_out=left_out),
            "twelve": synthetic_run(folder / "twelve", TWELVE, **SMALL),
            "twelve, v1": synthetic_run(folder / "twelve_v1", TWELVE, **many)}  # fmt: skip


def drawn_of(name: str) -> tuple[str, ...]:
    """The runs of which to draw a figure: few and many models, and attacks, where the figure shows them one by one."""
    if name in ("matched", "timeline"):  # two models have no curve
        return "twelve", "twelve, v1"
    if name == "inpainting":
        return "two, v1", "twelve, v1"
    if name == "roc":  # of one model
        return "two", "two, v1"
    if name == "membership":  # with many attacks it is drawn as the heatmap is
        return "two", "twelve", "twelve, v1"
    return ("two", "twelve", "two, v1", "twelve, v1") if name == "heatmap" else ("two", "twelve")


def least(figure: Figure) -> float:
    """The smallest type in points, on a slide that the figure fills; it must have been drawn, for numbers at ticks."""
    width, height = figure.get_size_inches()
    shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return float(min(SLIDE / width, SLIDE * 9 / 16 / height) * min(text.get_fontsize() for text in shown))


@pytest.fixture(scope="module")
def shown(runs: dict[str, RunData]) -> Shown:
    """Draws a figure of a run in a theme, once for all tests; None where the run has nothing to draw."""

    @cache
    def of(name: str, which: str, theme: str) -> Figure | None:
        with themes.use(theme):
            found = figures.get(name)().draw(runs[which])
        return None if isinstance(found, NotDrawn) else found.figure

    return of


@pytest.mark.parametrize("name", [name for name in ORDER if name != OF_CAPTIONS])
def test_no_two_texts_overlap_and_on_a_slide_type_is_larger(
    name: str, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    for which in drawn_of(name):
        on_paper, figure = (shown(name, which, theme) for theme in ("paper", "talk"))
        assert on_paper is not None
        assert figure is not None
        assert figure.get_figwidth() / figure.get_figheight() == pytest.approx(16 / 9)
        for one in (on_paper, figure):
            assert_legible(*texts_in(one, monkeypatch))
        assert least(figure) >= (16 if which == "two" else 9.9)
        assert least(figure) >= least(on_paper) - 1e-6


@pytest.mark.parametrize("name", ["tradeoff", "cost", "membership", "audit", "timeline"])
def test_a_slide_shows_what_the_paper_shows(name: str, shown: Shown) -> None:
    def data(theme: str) -> list[tuple[float, ...]]:
        figure = shown(name, "twelve", theme)
        assert figure is not None
        lines = [li for ax in figure.axes for li in ax.lines if li.get_marker() not in ("None", "", "|", "_")]
        return sorted({(round(float(x), 9),) for li in lines for x in li.get_xdata()})

    assert data("talk") == data("paper")


def test_what_is_saved_fills_a_slide(runs: dict[str, RunData], tmp_path: Path) -> None:
    sizes = {}
    for theme in ("paper", "talk"):
        with themes.use(theme):
            pdf, svg, png = save(drawn("tradeoff", runs["two"]).figure, tmp_path / theme, "tradeoff")
        box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+)", pdf.read_bytes())
        stated = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt" viewBox="0 0 ([\d.]+) ([\d.]+)"', svg.read_text())
        assert box is not None
        assert stated is not None
        assert b"/FontFile2" in pdf.read_bytes()
        sizes[theme] = (*map(float, box.groups()), *map(float, stated.groups()), *Image.open(png).size)
    assert sizes["talk"][:4] == pytest.approx((960, 540, 960, 540))
    assert sizes["talk"][6:] == (1920, 1080)
    assert sizes["paper"][:4] == pytest.approx((*sizes["paper"][4:6], *sizes["paper"][4:6]))
    assert sizes["paper"][6] == int(style.WIDTH * style.DPI)


def test_the_three_files_have_one_layout(
    runs: dict[str, RunData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for theme in ("paper", "talk"):
        with themes.use(theme):
            figure = drawn("cost", runs["two"]).figure
            layout = figure.get_layout_engine()
            solved: list[float] = []
            monkeypatch.setattr(type(layout), "execute", lambda self, figure, solved=solved: solved.append(figure.dpi))
            save(figure, tmp_path / theme, "cost")
            monkeypatch.undo()
        assert len(solved) == 1
        assert figure.get_layout_engine() is layout


def test_an_enlarged_page_shows_the_same_picture(runs: dict[str, RunData]) -> None:
    """What a page draws comes after the matrix that enlarges it, and is what it is without."""
    with themes.use("talk"):
        figure = drawn("cost", runs["two"]).figure
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        with style.theme():
            large, plain = io.BytesIO(), io.BytesIO()
            enlarge.save_pdf(figure, large, SLIDE / figure.get_figwidth(), {})
            figure.savefig(plain, format="pdf")
    pages = []
    for file in (large, plain):
        streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", file.getvalue(), re.DOTALL)
        pages.append(next(page for s in streams if s[:1] == b"x" and b"DeviceRGB CS" in (page := zlib.decompress(s))))
    matrix = re.search(rb"([\d.]+) 0 0 ([\d.]+) 0 0 cm\n", pages[0])
    assert matrix is not None
    assert float(matrix[1]) == float(matrix[2]) == pytest.approx(SLIDE / figure.get_figwidth())
    assert pages[0].replace(matrix[0], b"", 1) == pages[1]


def test_a_theme_holds_for_its_block_alone(runs: dict[str, RunData], tmp_path: Path) -> None:
    def saved(folder: str) -> list[bytes]:
        paths = save(drawn("membership", runs["two"]).figure, tmp_path / folder, "membership")
        return [path.read_bytes() for path in paths]

    before = saved("before")
    with themes.use("talk"):
        with themes.use("paper"):
            assert saved("within") == before
        assert saved("talk") != before
    with contextlib.suppress(RuntimeError), themes.use("talk"):
        raise RuntimeError
    assert themes.current() == themes.PAPER
    assert saved("after") == before
    with pytest.raises(InputError, match="no theme 'poster'; there are paper, talk"), themes.use("poster"):
        pass


def test_rows_stand_in_as_many_columns_as_take_the_least_room() -> None:
    assert themes.PAPER.columns(40, 0.2, 1.8, 0.5) == 1
    for count in (1, 5, 12, 40):
        best = themes.TALK.columns(count, 0.2, 1.8, 0.5)
        widths = [max(themes.TALK.size(0.5 + 0.2 * np.ceil(count / n), 1.8 * n)[0], themes.TALK.width)
                  for n in range(1, count + 1)]  # fmt: skip
        assert best == 1 + int(np.argmin(widths))


def test_a_report_for_a_talk_has_the_same_files_and_the_next_one_is_again_a_papers(
    runs: dict[str, RunData], tmp_path: Path
) -> None:
    layout, out = Layout(runs["two"].folder), tmp_path / "report"
    with only("cost"):
        draw_report([layout], out)
        paper = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        page = draw_report([layout], out, theme="talk")
        talk = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert set(talk) == set(paper)
    assert {path.parts[0] for path in paper if paper[path] != talk[path]} == {
        "figures", "index.html", "manifest.json", "signature",
    }  # fmt: skip
    on_slides, on_paper = Page(page.read_text()), Page(paper[Path("index.html")].decode())
    assert on_slides.tables == on_paper.tables
    assert "against FID (left) and images extracted" in on_slides.text
    assert "against FID (above) and images extracted" in on_paper.text
    with only("cost"):
        draw_report([layout], out)
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} == paper


def test_the_command_draws_for_a_talk_and_refuses_what_is_no_theme(runs: dict[str, RunData], tmp_path: Path) -> None:
    (runs["two"].folder / "config.toml").touch()
    command = ("report", runs["two"].folder, "--out", tmp_path / "r", "--theme")
    with only("tradeoff"):
        poster, talk = (invoke(*command, theme) for theme in ("poster", "talk"))
    assert poster.exit_code == 2
    assert "'paper', 'talk'" in poster.stderr
    assert talk.exit_code == 0, talk.stderr
    assert Image.open(tmp_path / "r" / "figures" / "tradeoff.png").size == (1920, 1080)
