"""Whether the files of a run are of one state: results.csv and results.parquet are written just before run.json."""

from __future__ import annotations

from typing import Any

CHECKSUMS = "tables_sha256"  # in run.json: those of the tables that were written with it; earlier versions state none
TABLES = ("results.csv", "results.parquet")
UNFINISHED = (
    "This run is unfinished: it was stopped, or is still at work. The rows are those of its last complete results; "
    "scores and images in figures may be newer. Finish it with: leakfront run"
)


def belongs(info: dict[str, Any], name: str, checksum: str) -> bool:
    """Whether a table with this SHA-256 was written together with run.json; True if `info`, from run.json, is older.

    Raises `TypeError` or `LookupError` for checksums in another form.
    """
    stated = info.get(CHECKSUMS)
    return bool(stated is None or checksum == stated[name])
