"""The cost model against published runs, and against times that follow it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.cost_model import Found, as_markdown, measure

ROOT = Path(__file__).parents[2]
RUNS = ("digits-v2", "defenses", "dp_ablation", "captions", "finetune")


@pytest.fixture(scope="module")
def found() -> list[Found]:
    return [measure(ROOT / "published" / run) for run in RUNS]


def test_the_table_in_the_docs_is_that_of_the_published_runs(found: list[Found]) -> None:
    text = (ROOT / "docs/speed.md").read_text()
    assert as_markdown(found) in text
    whole = [one.whole for one in found]
    assert f"Whole runs took {min(whole):.2f} to {max(whole):.2f} times what was estimated." in text


def test_a_run_that_takes_twice_as_long_in_one_part_is_off_by_two_there(tmp_path: Path, found: list[Found]) -> None:
    shutil.copy(ROOT / "published/captions/config.toml", tmp_path)
    rows = pd.read_csv(ROOT / "published/captions/results.csv")
    rows.loc[rows["metric"] == "sampling_seconds", "value"] *= 2
    rows.to_csv(tmp_path / "results.csv", index=False)
    before, after = found[RUNS.index("captions")], measure(tmp_path)
    assert after.ratios("sampling") == pytest.approx([2 * ratio for ratio in before.ratios("sampling")])
    assert after.ratios("training") == before.ratios("training")
    assert after.ratios("queries") == before.ratios("queries")
    assert after.whole > before.whole
