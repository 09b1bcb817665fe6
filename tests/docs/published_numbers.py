"""The numbers of a page, and the published rows that they stand for.

A mark is a comment at the end of a paragraph or list item, or below a table. It names a run of `published/` and, in
the order of the text, where each number comes from:

    Nothing of 27.3 images, 26.0 of them planted. <!-- digits: none: extracted_at_fdr@0.05;
    none: planted_extracted_at_fdr@0.05 -->

    <!-- digits table: none; dp_sgd epsilon=1 | ROW: fid_digits_frozen; ROW: auc (loss) -->

* `DEFENSE PARAMS: METRIC@LEVEL (SOURCE) split N` is a row of results.csv; level, source and split (else all) may be
  left out. `*` stands for any text. `low` or `high` at the end takes that end of the interval.
* `A / B` is the ratio of two rows. `min A` and `max A` take one of many.
* `config KEY` is a value of the run's config.toml. `RUN! …` takes another run for one number.
* `other REASON` is no number of a run.

A table has the names of its lines, `|`, and its columns from the second on, `ROW` standing for the name; `-` is a
column without numbers, `A & B` one with two parts in a cell, split by a semicolon. Three numbers are a value with its
interval. The decimals of the text say how far a value is rounded.

`python -m tests.docs.published_numbers` writes what the rows say into all pages, with the decimals that stand there.
"""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pandas as pd

from leakfront.results.run.rows import read_rows
from tests.docs.markdown import ROOT
from tests.docs.marks import Number, blocks, numbers

_SOURCE = re.compile(
    r"(?P<who>[^:]*): (?P<metric>\w+)(?:@(?P<level>[\d.]+))?(?: \((?P<source>[\w*]+)\))?(?: split (?P<split>\d+))?"
    r"(?: (?P<end>low|high))?"
)


def value(number: Number) -> float | None:
    """What the rows say; None for a number of another kind."""
    if number.origin.startswith("other "):
        return None
    scale = 100 if number.text.endswith("%") else 1
    run, _, origin = number.origin.rpartition("! ")
    return scale * _evaluated(run or number.run, origin)


def agrees(text: str, wanted: float) -> bool:
    """Whether a number that was printed is the other, rounded to its decimals."""
    decimals = len(text.rstrip("%").partition(".")[2])
    printed = float(text.rstrip("%").replace(",", "").replace("−", "-"))
    return abs(printed - wanted) <= 0.5 * 10**-decimals * (1 + 1e-6)


def rewritten(page: str, text: str) -> str:
    """The page with the numbers that the rows have."""
    for block in reversed(list(blocks(page, text))):
        for number in reversed(numbers(block) if block.mark else []):
            wanted = value(number)
            if wanted is not None and not agrees(number.text, wanted):
                decimals = len(number.text.rstrip("%").partition(".")[2])
                shown = f"{wanted:,.{decimals}f}" + "%" * number.text.endswith("%")
                text = text[: block.start + number.start] + shown + text[block.start + number.end :]
    return text


@cache
def rows(run: str) -> pd.DataFrame:
    """The rows of a published run."""
    return read_rows(ROOT / "published" / run / "results.csv")


def _evaluated(run: str, origin: str) -> float:
    if origin.startswith("config "):
        found: Any = tomllib.loads((ROOT / "published" / run / "config.toml").read_text())
        for key in origin.removeprefix("config ").split("."):
            found = found[int(key)] if isinstance(found, list) else found[key]
        return float(found)
    if origin.startswith(("min ", "max ")):
        pick = min if origin.startswith("min ") else max
        return float(pick(_ratios(run, origin[4:])))
    ratios = _ratios(run, origin)
    if len(ratios) != 1:
        raise ValueError(f"published/{run} has {len(ratios)} rows for {origin!r}")
    return ratios[0]


def _ratios(run: str, origin: str) -> list[float]:
    upper, *lower = origin.split(" / ")
    values = _matching(run, upper)
    for part in lower:
        (divisor,) = _matching(run, part)
        values = [one / divisor for one in values]
    return values


def _matching(run: str, origin: str) -> list[float]:
    asked = _SOURCE.fullmatch(origin)
    if asked is None:
        raise ValueError(f"{origin!r} names no row")
    found = rows(run)
    found = found[(found["metric"] == asked["metric"]) & (found["split"] == (asked["split"] or "all"))]
    if asked["level"]:
        found = found[found["level"] == float(asked["level"])]
    if asked["source"]:
        found = found[[fnmatchcase(source, asked["source"]) for source in found["source"]]]
    names = [f"{d} {p}".strip() for d, p in zip(found["defense"], found["params"], strict=True)]
    found = found[[fnmatchcase(name, asked["who"]) for name in names]]
    column = {None: "value", "low": "ci_low", "high": "ci_high"}[asked["end"]]
    return [float(one) for one in found[column].dropna()]


def main() -> None:
    """Rewrite README, docs and CHANGELOG."""
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = path.read_text()
        new = rewritten(str(path.relative_to(ROOT)), text)
        if new != text:
            path.write_text(new)
            print(f"{path.relative_to(ROOT)} was rewritten")


if __name__ == "__main__":
    main()
