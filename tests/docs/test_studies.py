"""What docs/studies.md says was seen is what the published report over the studies says."""

from __future__ import annotations

import re

import pytest

from leakfront.configs import bundled_studies
from leakfront.results.tables.table import NOTHING
from tests.docs.markdown import ROOT, read

PUBLISHED = "published/studies"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def answers() -> dict[str, str]:
    """What was seen, by the name of the study: the answer to its first question, with its numbers."""
    found: dict[str, str] = {}
    for table in ("earlier", "studies"):
        text = read(f"{PUBLISHED}/tables/{table}.md")
        heading, _, *lines = [line for line in text.splitlines() if line.startswith("|")]
        rows = [dict(zip(cells(heading), cells(line), strict=True)) for line in lines]
        found |= {row["Study"]: seen(row) for row in rows if row["Study"]}
    return found


def seen(row: dict[str, str]) -> str:
    numbers = "" if row["Found"] == NOTHING else f": {row['Found']}"
    if row["p (Holm)"] in (NOTHING, ""):
        return f"{row['Answer']}{numbers}"
    p = float(row["p (Holm)"])
    return f"{row['Answer']}{numbers}, {'p < 0.0001' if p < 1e-4 else f'p = {p:.2g}'}"


def rows() -> dict[str, list[str]]:
    """The lines of the page's table, by the name of the study."""
    table = read("docs/studies.md").split("## The studies")[1]
    lines = re.findall(r"^\| `\w+` \|.*$", table, re.M)
    return {cells(line)[0].strip("`"): cells(line) for line in lines}


def test_every_study_stands_in_the_table() -> None:
    assert {f"studies/{name}" for name in rows()} == set(bundled_studies())


@pytest.mark.parametrize("name", [name.rpartition("/")[2] for name in bundled_studies()])
def test_what_was_seen_is_what_is_published(name: str) -> None:
    assert rows()[name][-1] == answers().get(name, "not run yet")
    assert (name in answers()) == (ROOT / PUBLISHED / name / "study.toml").is_file()
    assert (name in answers()) == (ROOT / PUBLISHED / "figures" / f"{name}.png").is_file()


def test_numbers_below_the_table_are_published() -> None:
    """A value with its interval is one of the table of all questions; and so are its parts."""
    text = read("docs/studies.md").split("## The studies")[1].split("## Add a study")[0]
    below = " ".join(text[text.rindex("\n|") :].split("\n* ", 1)[1].split())
    found = re.findall(r"[−\d.]+ \[[^\]]+\]", below)
    assert len(found) > 3
    table = read(f"{PUBLISHED}/tables/studies.md")
    assert [number for number in found if number not in table] == []
