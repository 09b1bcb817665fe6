"""The sheet of copies, marks, and what captions give away, on a run made by a formula."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from leakfront.cli import main
from leakfront.errors import InputError
from leakfront.results.figures import Drawn, NotDrawn
from leakfront.results.figures.copies import Copies
from leakfront.results.figures.drawing import themes
from leakfront.results.page.by_caption import by_caption
from leakfront.results.page.copies import copies_page
from leakfront.results.page.findings import findings
from leakfront.results.run.copies import captions_of, copies_of
from leakfront.results.run.data import RunData
from leakfront.results.run.marks import check_marks, read_marks
from leakfront.results.statistics.precision_recall import precision_recall
from leakfront.results.tables.captions import captions_table
from leakfront.results.tables.table import number
from tests import browser
from tests.results.test_report import assert_legible, texts_in
from tests.results.test_themes import least
from tests.synthetic_run import ATTACKS, BY_PROMPT, Strength, synthetic_run

STRENGTHS = (Strength("none", copied=12, leak=1.1), Strength("dedup", leak=0.5))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    folder = tmp_path_factory.mktemp("copies")
    return synthetic_run(folder, STRENGTHS, splits=2, pool=64, attacks=(*ATTACKS, BY_PROMPT))


def test_precision_and_recall_at_each_distance_ties_together() -> None:
    distance, true = np.array([0.3, 0.1, 0.2, 0.2]), np.array([False, True, True, False])
    at, precision, recall = precision_recall(distance, true)
    np.testing.assert_allclose(at, [0.1, 0.2, 0.3])
    np.testing.assert_allclose(precision, [1, 2 / 3, 1 / 2])
    np.testing.assert_allclose(recall, [1 / 2, 1, 1])


def test_copies_are_the_flagged_captions_of_all_models_the_tightest_first(run: RunData) -> None:
    copies = copies_of(run)
    assert [copy.distance for copy in copies] == sorted(copy.distance for copy in copies)
    assert len({copy.key for copy in copies}) == len(copies)
    for cell in run.cells:
        members, mine = run.members(cell), [copy for copy in copies if copy.cell is cell]
        assert sorted(copy.pair for copy in mine if copy.shown) == np.flatnonzero(members[:8]).tolist()
        assert len(mine) == members[:8].sum() + 2


def test_the_sheet_shows_captions_as_text_and_does_not_tell_who_is_a_member(run: RunData) -> None:
    page, copies = copies_page(run), copies_of(run)
    assert page is not None
    assert page.count('class="copy"') == len(copies)
    assert page.count("data:image/png") == 6 * len(copies)
    assert page.count("<script") == 1
    assert "a &lt;b&gt;digit&lt;/b&gt; &amp; " in page
    assert not re.search(r"(src|href)=.?(https?:)?//", page)
    lines = page[page.index('class="copy"') :]
    assert "member" not in lines
    assert "decoy" not in lines
    assert captions_of(run, run.cells[0])[3].startswith('a <b>digit</b> & "no" 3')


def test_own_images_any_caption_and_flags_stand_apart_in_the_table(run: RunData) -> None:
    table = captions_table(run)
    assert table is not None
    none = {column.key: column.entries[0] for column in table.columns}
    planted = np.mean([run.members(cell)[:8].sum() for cell in run.cells if cell.defense == "none"])
    values = {key: entry.value for key, entry in none.items() if hasattr(entry, "value")}
    assert values["members_extracted"] == values["members_flagged"] == planted
    assert (values["decoys_extracted"], values["decoys_flagged"]) == (0, 2)
    assert values["members_any_prompt"] == values["cliques_showing_member"] == planted + 2
    assert "planted pairs alone cannot reach it" in " ".join(table.notes)


def test_the_headline_says_what_captions_give_away(run: RunData) -> None:
    none, dedup = run.summary.points
    planted = number(np.mean([run.members(cell)[:8].sum() for cell in run.cells if cell.defense == "none"]))
    [part] = by_caption(run.summary, [none])
    assert part.startswith(f"captions give their own image for {planted} ")
    assert "members and 0 decoys" in part
    [part] = by_caption(run.summary, [dedup], [none])
    assert part.endswith(f", against {planted} members undefended")
    assert part in " ".join(one.text for one in findings(run).headline)


def test_a_run_without_captions_has_neither(tmp_path: Path) -> None:
    plain = synthetic_run(tmp_path, splits=1, pool=64)
    assert copies_of(plain) == []
    assert copies_page(plain) is None
    assert captions_table(plain) is None
    assert by_caption(plain.summary, plain.summary.points) == []
    assert isinstance(Copies().draw(plain), NotDrawn)


def test_the_figure_draws_marks_beside_the_ground_truth(run: RunData) -> None:
    copies = copies_of(run)
    marks = {copy.key: "copy" if copy.shown else "unsure" for copy in copies[:4]}
    drawn = Copies().draw(RunData(run.folder, marks=marks))
    assert isinstance(drawn, Drawn)
    legend = [text.get_text() for text in drawn.figure.axes[0].get_legend().get_texts()]
    shown = sum(copy.shown for copy in copies)
    assert legend[0] == f"ground truth: {shown} of {len(copies)} captions are right"
    assert legend[1].endswith("of 4 captions are right")
    assert "4 captions are marked" in drawn.caption
    plain = Copies().draw(run)
    assert isinstance(plain, Drawn)
    assert "marks" not in plain.caption


@pytest.mark.parametrize("theme", ["paper", "talk"])
def test_no_two_texts_of_the_figure_overlap(run: RunData, theme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = copies_of(run)
    with themes.use(theme):
        drawn = Copies().draw(RunData(run.folder, marks={copy.key: "copy" for copy in copies[:4]}))
    assert isinstance(drawn, Drawn)
    assert_legible(*texts_in(drawn.figure, monkeypatch))
    assert least(drawn.figure) >= (16 if theme == "talk" else 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("key,verdict\n", "must begin with the line 'prompt,verdict'"),
        ("prompt,verdict\na,maybe\n", "line 2: it must be a prompt and one of copy, not, unsure"),
        ("prompt,verdict\na,copy,b\n", "line 2: it must be a prompt"),
        ("prompt,verdict\na,copy\na,not\n", "line 3: the prompt 'a' is there twice"),
    ],
)
def test_marks_of_another_form_are_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "marks.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_marks(tmp_path / "marks.csv")


def test_marks_of_another_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"marks.csv cannot be read"):
        read_marks(tmp_path / "marks.csv")
    with pytest.raises(InputError, match="marks of another run: this one has not flagged 'b'"):
        check_marks(tmp_path / "marks.csv", {"a": "copy", "b": "not"}, {"a"})


@pytest.mark.parametrize("name", ["copies_prompt", "copies_images", "matched_extracted"])
def test_arrays_that_no_run_writes_are_refused(name: str, tmp_path: Path) -> None:
    damaged = synthetic_run(tmp_path, STRENGTHS[:1], splits=1, pool=64, attacks=(*ATTACKS, BY_PROMPT))
    path = damaged.cells[0].folder / "attack" / BY_PROMPT / "scores.safetensors"
    arrays = load_file(path)
    for wrong in ({**arrays, name: arrays[name][1:]}, {**arrays, name: arrays[name].astype(np.float32)},
                  {key: array for key, array in arrays.items() if key != name}):  # fmt: skip
        save_file(wrong, path)
        with pytest.raises(InputError, match="the scores of generate_by_prompt"):
            copies_of(damaged)


@pytest.mark.skipif(browser.chromium() is None, reason="there is no Chromium")
def test_buttons_mark_and_the_saved_file_is_what_the_report_reads(run: RunData, tmp_path: Path) -> None:
    sheet = tmp_path / "index.html"
    sheet.write_text(copies_page(run) or "")
    with browser.tab(browser.chromium() or "", tmp_path / "profile") as tab:
        tab.open(sheet)
        tab.run(
            "window.saved = null; URL.createObjectURL = blob => { blob.text().then(t => { saved = t; }); return '#'; }"
        )
        tab.run("document.querySelectorAll('.copy')[0].querySelectorAll('button')[0].click()")
        tab.run("document.querySelectorAll('.copy')[1].querySelectorAll('button')[0].click()")
        tab.run("document.querySelectorAll('.copy')[1].querySelectorAll('button')[1].click()")
        assert tab.run("document.getElementById('count').textContent") == f"2 of {len(copies_of(run))} marked"
        assert tab.run("document.querySelectorAll('button[aria-pressed=true]').length") == 2
        tab.run("document.getElementById('save').click()")
        for _ in range(100):
            if saved := tab.run("window.saved"):
                break
        assert tab.complaints == []
    (tmp_path / "marks.csv").write_text(saved)
    first, second = copies_of(run)[:2]
    assert read_marks(tmp_path / "marks.csv") == {first.key: "copy", second.key: "not"}


def test_the_command_takes_marks_of_one_run_that_is_not_to_be_shared(run: RunData, tmp_path: Path) -> None:
    (tmp_path / "marks.csv").write_text("prompt,verdict\nnobody,copy\n")
    (run.folder / "config.toml").touch()
    call = ["report", str(run.folder), "--marks", str(tmp_path / "marks.csv"), "--out", str(tmp_path / "report")]
    assert "marks of another run" in CliRunner().invoke(main, call).output
    assert "leave out --marks" in CliRunner().invoke(main, [*call, "--shareable"]).output
