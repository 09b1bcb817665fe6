"""The distance metrics of the synthetic-data trade on every defense, for comparison with the attacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakfront.results.run.rows import DISTANCES
from leakfront.results.tables.table import NOTHING, Column, Table

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData

# metric: heading, with what it is if nothing leaks
_COLUMNS = {
    "dcr_share": "DCR share (0.5)",
    "nndr_ratio": "NNDR ratio (1)",
    "authenticity_gap": "Authenticity gap (0)",
    "identifiability_gap": "Identifiability gap (0)",
    "c_t": "C_T (0)",
    "memorized_share": "Memorized share",
}


def distances_table(run: RunData) -> Table | None:
    """Every defense at every strength; None if the run has no rows of distances."""
    summary = run.summary
    points = [p for p in summary.points if any(summary.value(p, DISTANCES, metric) is not None for metric in _COLUMNS)]
    if not points:
        return None
    return Table((
        Column("defense", "Defense", tuple(point.defense for point in points)),
        Column("params", "Strength", tuple(point.params for point in points)),
        *(Column(metric, title, tuple(summary.value(point, DISTANCES, metric) for point in points))
          for metric, title in _COLUMNS.items()),
    ), (
        "In brackets: the value if nothing leaks. For comparison only: a share over all samples hides few copies among "
        "many samples, and no verdict rests on these numbers, but for a warning. C_T: copies push it down, poor images "
        "up. Memorized share: samples more than three times as near to one training image as to any other.",
        f"Means over splits with 95% intervals; {NOTHING}: no number.",
        *run.differences,
    ))  # fmt: skip
