"""The table of distance metrics: of each defense, beside what they are if nothing leaks; none without such rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from leakfront.results.report import write_report
from leakfront.results.run.data import RunData
from leakfront.results.run.rows import DISTANCES, frame
from leakfront.results.tables.distances import distances_table
from tests.few_figures import only
from tests.results.test_quality_table import rows_of
from tests.synthetic_run import synthetic_run


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    return synthetic_run(tmp_path_factory.mktemp("run"), pool=128, samples=150, attacks=("extraction",))


def test_every_defense_has_its_distances_and_a_run_without_them_no_table(plain: RunData, tmp_path: Path) -> None:
    assert distances_table(plain) is None
    rows = rows_of(plain)
    for fid in [row for row in rows if row.source == "fid" and row.defense in ("none", "dedup")]:
        value = 0.6 if fid.defense == "none" else 0.5
        rows.append(replace(fid, kind="privacy", source=DISTANCES, metric="dcr_share", value=value, ci_low=value - 0.1,
                            ci_high=value + 0.1))  # fmt: skip
    frame(rows).to_csv(plain.folder / "results.csv", index=False, na_rep="nan")
    run = RunData(plain.folder)
    table = distances_table(run)
    assert table is not None
    assert [column.title for column in table.printed][:3] == ["Defense", "Strength", "DCR share (0.5)"]
    assert [str(row[2]) for row in table.rows()] == ["0.6 [0.5, 0.7]", "0.5 [0.4, 0.6]"]
    assert {str(cell) for row in table.rows() for cell in row[3:]} == {"–"}
    with only("cost"):
        page = write_report([run], tmp_path).read_text()
    assert "no verdict rests on these numbers" in page
    assert (tmp_path / "tables" / "distances.csv").read_text().startswith("defense,params,dcr_share,dcr_share_low")
