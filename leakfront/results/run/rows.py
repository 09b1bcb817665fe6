"""The row: one measured number with its interval and its conditions. Every table and figure is a function of rows."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from leakfront.errors import InputError
from leakfront.memory import memory
from leakfront.results.run.old_names import metric_and_level

if TYPE_CHECKING:
    import pandas as pd

    from leakfront.results.statistics.estimate import Estimate

Kind = Literal["privacy", "utility", "cost"]

ALL = "all"  # the split of a value over all splits
HELD_OUT, NOISE = "(held-out images)", "(noise)"  # the two ends of the FID scale, in place of a defense
WITH_WEIGHTS = "_with_weights"  # ends a metric of samples drawn past the defenses that guard the sampler
OF_FIT = "_of_fit"  # ends a metric with the features of one fit of the extractor; its level is the fit's number
AT_SAMPLES = "_at_samples"  # ends a metric of held-out images, as it would be at as many images as a model's samples
AUC_OF_PLANTED = "auc_of_planted"  # the metric of an attack on captions: planted members against planted decoys
AUC_BY_COPIES = "auc_by_copies"  # the metric of an attack on the members of one number of copies, its level
EXTRACTED_BY_COPIES = "extracted_share_by_copies"  # the share of these members that are extracted
LOSS_GAP = "loss_gap"  # the metric of the attack `loss` that compares mean losses, which uses no shadow model
AUC_OF_HALVES = "auc_of_halves"  # the metric of an attack between random halves of the decoys
CONTROL_AUC = "control_auc"  # the metric of a control of known membership, which never queries the model
CONTROL_CONTENT, CONTROL_FILES = "control_content", "control_files"  # its sources: the images, and facts of their files
NEAR_COPIES = "near_copies"  # source and metric of the number of decoys that are near copies of members
DISTANCES = "distances"  # the source of the distance metrics of the synthetic-data trade
NO_MODEL = ("diverged", "failed")  # metrics of a cell that has no other rows
MAX_BYTES = 2**30  # of results.csv; that of 10,000 models under 31 attacks has about as many
MAX_HEADER = 64 * 2**10  # bytes of its first line, which names 20 columns
_IN_MEMORY = 32  # bytes that pandas takes at most for one of the file, while it reads texts
_NUMBERS = ("level", "value", "ci_low", "ci_high")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number.

    run, cell: where it was measured (`cell` names the cell's folder; empty for a row over all splits).
    dataset, model: what was trained. defense: the name of the defense or stack ("dedup+dp_sgd"), a line on a plot, or
    `HELD_OUT` or `NOISE`. params: its strength ("epsilon=10"), a point on that line; empty if it has none.
    split: the number of the coin-flip split, or `ALL`. suite: the name and version of the run's attacks.
    kind: privacy, utility or cost. source: the attack, metric, defense or stage that measured it.
    metric: the name of the quantity. level: the number that belongs to it, None for a quantity without one:
    the false-positive rate of `tpr_at_fpr`, the false-discovery rate of `extracted_at_fdr`, the size of the set of
    `set_detected_members`, the number of the fit, from 1, of metrics that end in `OF_FIT`, the number of copies of
    `AUC_BY_COPIES`.
    value, ci_low, ci_high: the number and its 95% interval (nan where there is none). ci_method: how the interval was
    made, or why there is no number. n: the number of observations behind it.
    higher_is_better: for the defender; None where neither direction is good.
    """

    run: str
    cell: str
    dataset: str
    model: str
    defense: str
    params: str
    split: str
    suite: str = ""
    kind: Kind
    source: str
    metric: str
    level: float | None = None
    value: float
    ci_low: float = math.nan
    ci_high: float = math.nan
    ci_method: str = ""
    n: int = 0
    higher_is_better: bool | None = None


COLUMNS = tuple(field.name for field in fields(Row))


def measured(estimate: Estimate) -> dict[str, Any]:
    """The columns of a row that an estimate fills."""
    value, low, high, method = estimate
    return {"value": value, "ci_low": low, "ci_high": high, "ci_method": method}


def frame(rows: Iterable[Row]) -> pd.DataFrame:
    """The rows as a table with the columns of `Row`, in the order given; a missing level is nan."""
    import pandas as pd

    table = pd.DataFrame([vars(row) for row in rows], columns=list(COLUMNS))
    table["level"] = table["level"].astype(float)
    return table


def read_rows(path: Path, file: BinaryIO | None = None) -> pd.DataFrame:
    """Read `results.csv`: numbers exactly as written, text as text (`split` too), higher_is_better or None.

    file: the same file, if it is open already. A file of an earlier version, which has no column `level`, is read as if
    it had one. Raises `InputError` for a file
    that is too large.
    """
    import pandas as pd

    _check_size(path)
    table = pd.read_csv(file or path, dtype=str, keep_default_na=False, usecols=lambda column: column in COLUMNS)
    if "level" not in table.columns:
        names = [metric_and_level(old) for old in table["metric"]]
        table["metric"] = [metric for metric, _ in names]
        table["level"] = ["" if level is None else repr(level) for _, level in names]
    table = table[list(COLUMNS)]
    for column in _NUMBERS:
        table[column] = [float(text) if text else math.nan for text in table[column].tolist()]
    table["n"] = table["n"].astype(int)
    directions = [{"True": True, "False": False}.get(text) for text in table["higher_is_better"].tolist()]
    table["higher_is_better"] = pd.Series(directions, index=table.index, dtype=object)
    return table


def _check_size(path: Path) -> None:
    """Raise `InputError` for a file that could fill this machine's memory, which takes `_IN_MEMORY` times its size."""
    most = min(MAX_BYTES, memory() // _IN_MEMORY)
    with path.open("rb") as file:
        if len(file.readline(MAX_HEADER + 1)) > MAX_HEADER:
            raise InputError(
                f"{path} has a first line of more than {MAX_HEADER // 2**10} KiB; it must name the columns"
            )
        if (size := file.seek(0, os.SEEK_END)) > most:
            raise InputError(
                f"{path} has {size / 2**20:,.0f} MiB; on this machine a file of rows may have {most / 2**20:,.0f} MiB, "
                "so use one with more memory, or a run with fewer models"
            )
