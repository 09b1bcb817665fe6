"""What a decision on a release needs of a finished run: a line for each image."""

from __future__ import annotations

from leakfront.harness.store.artifacts import write_atomically
from leakfront.harness.store.layout import Layout
from leakfront.results.run.data import RunData
from leakfront.results.run.per_image import FILE, per_image


def write_per_image(layout: Layout) -> None:
    """Write per_image.csv, from the results and the stored arrays of a run that has written both."""
    table = per_image(RunData(layout.root))
    write_atomically(layout.root / FILE, table.to_csv(index=False, lineterminator="\n"))
