"""The page fits a window of 1,200 pixels, and folds what is long."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from leakfront.results.page.findings import findings
from leakfront.results.page.page import Contents, page
from leakfront.results.report import TABLES
from tests.browser import Tab, chromium, tab
from tests.results.test_report import HOSTILE, SMALL
from tests.synthetic_run import TWELVE, V1, Strength, synthetic_run

WIDTH = 1200
# of the body and of each table: the width that it needs and the width that it has
WIDTHS = """JSON.stringify([document.documentElement, ...document.querySelectorAll('.scroll')].map(
    e => [e.scrollWidth, e.clientWidth]))"""
LONG = [replace(TWELVE[0], fid=1234.5), replace(TWELVE[-1], defense="dedup, by similarity+dp_finetune", fid=2345.6),
        Strength("x" * 60, HOSTILE, epsilon=123.456, past=29)]  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    found = chromium()
    if found is None:
        pytest.skip("there is no Chromium")
    with tab(found, tmp_path_factory.mktemp("profile")) as opened:
        opened.resize(WIDTH)
        yield opened


def opened(browser: Tab, folder: Path, strengths: Sequence[Strength], attacks: tuple[str, ...]) -> None:
    run = synthetic_run(folder, strengths, **{**SMALL, "attacks": attacks})
    tables = {name: make(run) for name, make in TABLES.items()}
    (folder / "index.html").write_text(page(run, Contents(findings(run), tables, [], {})), encoding="utf-8")
    browser.open(folder / "index.html")


@pytest.mark.parametrize("attacks", [("extraction", "loss", "pia", "secmi"), V1])
@pytest.mark.parametrize("strengths", [TWELVE, LONG])
def test_nothing_is_wider_than_a_window_of_1200_pixels(
    strengths: Sequence[Strength], attacks: tuple[str, ...], browser: Tab, tmp_path: Path
) -> None:
    opened(browser, tmp_path, strengths, attacks)
    (page_needs, page_has), (table_needs, table_has), *_ = json.loads(browser.run(WIDTHS))
    assert WIDTH - 20 <= page_has <= WIDTH  # a scroll bar takes its share
    assert page_needs <= page_has
    assert table_needs <= table_has
    assert not browser.complaints


def test_the_fold_is_closed_until_it_is_opened(browser: Tab, tmp_path: Path) -> None:
    opened(browser, tmp_path, TWELVE[:3], ("loss",))
    seen = "document.querySelector('details li').checkVisibility()"
    assert not browser.run(seen)
    browser.run("document.querySelector('summary').click()")
    assert browser.run(seen)
