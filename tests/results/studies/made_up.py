"""Rows with a known effect, as a finished run would have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from leakfront.results.run.rows import Row, frame
from leakfront.results.studies.judging.data import StudyData

BASE: dict[str, Any] = {
    "run": "made-up", "cell": "c", "dataset": "digits", "model": "unet", "params": "", "kind": "privacy",
    "source": "loss", "metric": "auc",
}  # fmt: skip


def rows(values: Mapping[str, Sequence[float]], **columns: Any) -> list[Row]:
    """A row for each split: values by defense, or by "defense params"."""
    made = []
    for name, numbers in values.items():
        defense, _, params = name.partition(" ")
        for split, value in enumerate(numbers):
            settings = BASE | {"defense": defense, "params": params, "split": str(split), "value": value}
            made.append(Row(**settings | columns))
    return made


def study(**arms: Sequence[Row]) -> StudyData:
    """A study with these rows in each arm."""
    planned = {arm: len({row.split for row in made}) for arm, made in arms.items()}
    runs: Any = {
        arm: SimpleNamespace(rows=frame(made), cells=[], info={"splits": planned[arm]}) for arm, made in arms.items()
    }
    return StudyData(runs)
