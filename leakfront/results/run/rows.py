"""The row: one measured number, with its interval and its conditions. Every table and figure is a function of rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["privacy", "utility", "cost"]


@dataclass(frozen=True)
class Row:
    """One number.

    run, cell: where it was measured (`cell` is the name of the cell's folder; empty for a row over all splits).
    dataset, model: what was trained. defense: the name of the defense or stack ("dedup+dp_sgd"), which is a line on a
    plot; params: its strength ("epsilon=10"), a point on that line, empty if it has none. Defenses in parentheses
    are not trained: "(held-out images)" and "(noise)" mark the ends of the FID scale.
    split: the number of the coin-flip split, or "all" for a value over all splits.
    kind: privacy, utility or cost. source: the attack, metric, defense or stage that measured it.
    value, ci_low, ci_high: the number and its 95% interval (nan where there is none), ci_method: how it was made.
    n: how many observations it rests on. higher_is_better: for the defender; None where neither end is good.
    suite: the name and version of the attacks that the run was made with.
    """

    run: str
    cell: str
    dataset: str
    model: str
    defense: str
    params: str
    split: str
    kind: Kind
    source: str
    metric: str
    value: float
    ci_low: float = math.nan
    ci_high: float = math.nan
    ci_method: str = ""
    n: int = 0
    higher_is_better: bool | None = None
    suite: str = ""


COLUMNS = tuple(field.name for field in fields(Row))


def frame(rows: Iterable[Row]) -> pd.DataFrame:
    """The rows as a table with the columns of `Row`, in the order given."""
    import pandas as pd

    return pd.DataFrame([asdict(row) for row in rows], columns=list(COLUMNS))


def read_rows(path: Path) -> pd.DataFrame:
    """Read `results.csv`: numbers exactly as written, text as text (`split` too), higher_is_better or None."""
    import pandas as pd

    table = pd.read_csv(path, dtype=str, keep_default_na=False)[list(COLUMNS)]
    for column in ("value", "ci_low", "ci_high"):
        table[column] = [float(text) if text else math.nan for text in table[column]]
    table["n"] = table["n"].astype(int)
    directions = [{"True": True, "False": False}.get(text) for text in table["higher_is_better"]]
    table["higher_is_better"] = pd.Series(directions, index=table.index, dtype=object)
    return table
