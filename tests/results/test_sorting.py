"""The tables of the page can be sorted, by mouse and by key, and the page lets no other script run."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from leakfront.results.page import assets
from leakfront.results.page.findings import findings
from leakfront.results.page.page import Contents, page
from leakfront.results.report import TABLES
from leakfront.results.run.data import RunData
from leakfront.results.run.value import Value
from leakfront.results.tables.attacks import attack_table, suite_table
from leakfront.results.tables.cost import cost_table
from leakfront.results.tables.main import main_table
from leakfront.results.tables.matched import matched_table
from leakfront.results.tables.table import Column, Table
from tests.browser import Tab, chromium, tab
from tests.results.test_report import HOSTILE, REASON, SMALL, Page
from tests.synthetic_run import V1, Strength, synthetic_run

SCRIPT = assets.read(assets.SCRIPT)
TABLE = "document.querySelectorAll('table')[{}]"
BUTTON = TABLE + ".tHead.rows[0].cells[{}].querySelector('button')"
CURVES = (
    Strength("none", fid=10, copied=29, leak=1),
    Strength("early_stop", "fraction=0.5", fid=12, copied=22, leak=0.6),
    Strength("early_stop", "fraction=0.25", fid=45, leak=0.3),
    Strength("dp_sgd", "epsilon=100", fid=14, copied=22, leak=0.5, epsilon=100.0),
    Strength("dp_sgd", "epsilon=10", fid=400, epsilon=10.0),
    Strength("dp_sgd", "epsilon=2", fid=1400, epsilon=2.0),
    Strength("<b>Zebra</b>", diverged=(0, 1, 2)),
    Strength(HOSTILE, HOSTILE, fid=9),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    settings = {**SMALL, "attacks": V1, "left_out": {"gsa1": REASON}}
    return synthetic_run(tmp_path_factory.mktemp("run"), CURVES, **settings)


@pytest.fixture(scope="module")
def written(run: RunData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "index.html"
    contents = Contents(findings(run), {name: make(run) for name, make in TABLES.items()}, [], {})
    path.write_text(page(run, contents), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tables(run: RunData) -> list[Table]:
    made = [make(run) for make in (main_table, matched_table, cost_table, suite_table, attack_table)]
    return [table for table in made if table is not None]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    found = chromium()
    if found is None:
        pytest.skip("there is no Chromium")
    with tab(found, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def shown(browser: Tab, written: Path) -> Tab:
    browser.open(written)
    return browser


def rows(shown: Tab, table: int) -> list[list[str]]:
    script = f"JSON.stringify([...{TABLE.format(table)}.tBodies[0].rows].map(r => [...r.cells].map(c => c.innerText)))"
    found = json.loads(shown.run(script))
    return [[" ".join(cell.split()) for cell in line] for line in found]


def order(shown: Tab, table: int, column: int) -> list[str | None]:
    """The directions that the headings of a table state, that of `column` first."""
    script = f"JSON.stringify([...{TABLE.format(table)}.tHead.rows[0].cells].map(c => c.getAttribute('aria-sort')))"
    stated = json.loads(shown.run(script))
    return [stated.pop(column), *dict.fromkeys(stated)]


def by_hand(column: Column, descending: bool) -> list[int]:
    """The rows in the order wanted: unknown numbers last, ties as they were."""
    values = [entry.value if isinstance(entry, Value) and entry.known else None for entry in column.entries]
    known = [i for i, value in enumerate(values) if value is not None]
    sign = -1 if descending else 1
    return sorted(known, key=lambda i: sign * values[i]) + [i for i, value in enumerate(values) if value is None]


def test_every_column_of_numbers_sorts_by_the_number(shown: Tab, tables: list[Table]) -> None:
    sorted_ones = 0
    for place, table in enumerate(tables):
        original = rows(shown, place)
        for number, column in enumerate(table.printed):
            if not column.numeric:
                continue
            for direction, descending in (("ascending", False), ("descending", True)):
                shown.run(BUTTON.format(place, number) + ".click()")
                assert rows(shown, place) == [original[i] for i in by_hand(column, descending)], column.title
                assert order(shown, place, number) == [direction, None]
            shown.run(BUTTON.format(place, number) + ".click()")
            assert rows(shown, place) == original
            assert order(shown, place, number) == [None, None]
            sorted_ones += 1
    assert sorted_ones > 20
    assert not shown.complaints


def test_numbers_sort_beyond_the_digits_that_are_printed_and_dashes_come_last(shown: Tab, run: RunData) -> None:
    titles = [column.title for column in main_table(run).printed]
    fid = titles.index("FID")
    for _ in range(2):
        shown.run(BUTTON.format(0, fid) + ".click()")
        assert rows(shown, 0)[-1][fid] == "–"  # training diverged
    assert rows(shown, 0)[0][fid].startswith("1,")


def test_text_sorts_as_text_with_the_numbers_in_it_as_numbers(shown: Tab) -> None:
    cost = 2  # which has a column for the strength
    shown.run(BUTTON.format(cost, 1) + ".click()")
    strengths = [line[1] for line in rows(shown, cost)]
    assert strengths == [HOSTILE, "epsilon=2", "epsilon=10", "epsilon=100", "fraction=0.25", "fraction=0.5", ""]
    shown.run(BUTTON.format(cost, 1) + ".click()")
    assert [line[1] for line in rows(shown, cost)] == [*reversed(strengths[:6]), ""]
    shown.run(BUTTON.format(cost, 0) + ".click()")
    names = [line[0] for line in rows(shown, cost)]
    assert names[-4:] == ["dp_sgd", "early_stop", "early_stop", "none"]
    assert order(shown, cost, 1) == [None, "ascending", None]


def test_strengths_that_stand_below_their_defense_sort_within_it(shown: Tab) -> None:
    shown.run(BUTTON.format(0, 0) + ".click()")
    private = [line[0] for line in rows(shown, 0) if line[0].startswith("dp_sgd")]
    assert private == ["dp_sgd epsilon=2", "dp_sgd epsilon=10", "dp_sgd epsilon=100"]


def test_a_heading_can_be_reached_and_pressed_with_the_keyboard(shown: Tab) -> None:
    original = rows(shown, 0)
    shown.press("Tab")
    for _ in range(6):
        if shown.run("document.activeElement.innerText") == "FID":
            break
        shown.press("Tab")
    assert shown.run("document.activeElement.tagName") == "BUTTON"
    orders = []
    for key in ("Enter", " ", "Enter"):
        shown.press(key)
        orders.append(rows(shown, 0))
    fids = [float(line[4].split()[0].replace(",", "").replace("–", "nan")) for line in orders[0]]
    assert fids[:-1] == sorted(fids[:-1])
    assert math.isnan(fids[-1])
    assert orders[1][:7] == orders[0][6::-1]
    assert orders[2] == original


def test_a_heading_can_be_clicked(shown: Tab) -> None:
    original = rows(shown, 0)
    x, y = json.loads(shown.run(
        f"(() => {{ const b = {BUTTON.format(0, 0)}; b.scrollIntoView(); const r = b.getBoundingClientRect(); "
        "return JSON.stringify([r.x + 4, r.y + 4]) })()"))  # fmt: skip
    shown.click(x, y)
    assert rows(shown, 0) != original
    assert order(shown, 0, 0) == ["ascending", None]


def test_hostile_names_stay_text(shown: Tab) -> None:
    for place in range(5):
        shown.run(BUTTON.format(place, 0) + ".click()")
    assert shown.run("document.querySelectorAll('td script, td b, td input').length") == 0
    assert f"{HOSTILE} {HOSTILE}" in [line[0] for line in rows(shown, 0)]


def test_no_other_script_runs(browser: Tab, written: Path, tmp_path: Path) -> None:
    text = written.read_text()
    parsed = Page(text)
    policy = next(value for name, value in parsed.attributes if value and value.startswith("default-src"))
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert parsed.tags.count("script") == 1
    assert re.findall(r"<script>(.*?)</script>", text, re.DOTALL) == [SCRIPT]
    changed = tmp_path / "changed.html"
    changed.write_text(text.replace("</body>", "<script>document.title = 'ran'</script></body>").replace(
        "<h1>", "<h1 onclick=\"document.title = 'ran'\">"))  # fmt: skip
    browser.open(changed)
    browser.run("document.querySelector('h1').click()")
    assert browser.run("document.title") == "Digits, synthetic"
    assert sum("Content Security Policy" in complaint for complaint in browser.complaints) >= 2
    assert browser.run("document.querySelectorAll('th button').length") > 0
    browser.complaints.clear()


def test_without_scripts_and_in_print_the_page_is_as_it_was(browser: Tab, written: Path) -> None:
    boxes = """JSON.stringify([...document.querySelectorAll('body *:not(button, script)')].map(e => {
        const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height] }))"""
    browser.media("print")
    browser.open(written)
    browser.run(BUTTON.format(0, 0) + ".click()")
    arrows = "[...document.querySelectorAll('th button')].map(b => getComputedStyle(b, '::after').content).join()"
    assert set(browser.run(arrows).split(",")) == {"none"}
    for _ in range(2):
        browser.run(BUTTON.format(0, 0) + ".click()")
    sortable, texts = browser.run(boxes), rows(browser, 0)
    browser.open(written, scripts=False)
    assert browser.run("document.querySelectorAll('button').length") == 0
    assert (browser.run(boxes), rows(browser, 0)) == (sortable, texts)
    browser.media("screen")
