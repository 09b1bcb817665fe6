"""The rows of all runs of one study, and the numbers of each split that a table of columns chooses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.errors import InputError
from leakfront.results.run.rows import ALL
from leakfront.results.statistics.roc import auc

if TYPE_CHECKING:
    import pandas as pd

    from leakfront.results.run.data import Cell, RunData

Selector = Mapping[str, Any]  # columns of rows and the values that they must have
NOT_STATED = "all"
COLUMNS = ("run", "source", "metric", "level", "defense", "params")
AMONG = "among"  # in addition: of which images, from stored scores in place of rows
OF_SCORES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {  # metrics that have an `among`
    "auc": lambda score, members, chosen: float(auc(score[chosen], members[chosen])),
    "members_before_decoys": lambda score, members, chosen: float(
        (score[members & chosen] > score[~members].max()).sum()
    ),
}


class CannotJudge(Exception):
    """What is there does not suffice. The text is one sentence without a full stop."""


class StudyData:
    """The finished runs of a study by the names of their arms."""

    def __init__(self, runs: Mapping[str, RunData]) -> None:
        self.runs = runs

    @property
    def planned(self) -> int:
        """The number of splits of the runs."""
        return max(int(run.info.get("splits", 0)) for run in self.runs.values())

    @cached_property
    def rows(self) -> pd.DataFrame:
        """All rows of single splits; `run` holds the arm."""
        import pandas as pd

        tables = [run.rows.assign(run=arm) for arm, run in self.runs.items()]
        rows = pd.concat(tables, ignore_index=True)
        return rows[rows["split"] != ALL]

    def values(self, which: Selector) -> dict[str, float]:
        """The number of each split in the rows that these columns choose; splits without a number are left out.

        With `among` = "planted" or "unique", the number is of the images that are planted several times, or of all
        others, computed from the scores of the attack `source`: the AUC of these images, or how many members among them
        score above every decoy of the pool. Raises `CannotJudge` if no row, or several rows of
        one split, have these values.
        """
        if AMONG in which:
            return self._among(which)
        found = self.rows
        for column in COLUMNS:
            if column in which:
                wanted = which[column]
                known = found[column]
                found = found[np.isclose(known, float(wanted)) if column == "level" else known == wanted]
        if found.empty:
            raise CannotJudge(f"there is no row with {named(which)}")
        if found["split"].duplicated().any():
            apart = [c for c in COLUMNS if c not in which and found[c].nunique(dropna=False) > 1]
            raise CannotJudge(f"several rows of one split have {named(which)}; they differ in {', '.join(apart)}")
        numbers = zip(found["split"], found["value"], strict=True)
        return {str(split): float(value) for split, value in numbers if math.isfinite(value)}

    def _among(self, which: Selector) -> dict[str, float]:
        numbers: dict[str, float] = {}
        for run, cell in self.cells(which):
            score, members = run.scores(cell, which["source"])["score"], run.members(cell)
            planted = run.pool_of(cell)["copies"] > 1
            chosen = planted if which[AMONG] == "planted" else ~planted
            if len(np.unique(members[chosen])) < 2:
                raise CannotJudge(f"there are not both members and decoys among the {which[AMONG]} images")
            numbers[cell.split] = OF_SCORES[which["metric"]](score, members, chosen)
        return numbers

    def table(self, selectors: Sequence[Selector], least: int = 2) -> tuple[list[str], np.ndarray]:
        """(splits, numbers float [S, K]) for K tables of columns, of the splits that have all K numbers.

        Raises `CannotJudge` if fewer than `least` splits have.
        """
        columns = [self.values(which) for which in selectors]
        splits = [split for split in columns[0] if all(split in column for column in columns)]
        if len(splits) < least:
            few = f"only {len(splits)} split{'' if len(splits) == 1 else 's'}"
            raise CannotJudge(f"{few} of the at least {least} that are needed have all numbers")
        return splits, np.array([[column[split] for column in columns] for split in splits])

    def cells(self, which: Selector) -> list[tuple[RunData, Cell]]:
        """The trained models that the columns run, defense and params choose, one for each split, with their runs.

        Raises `CannotJudge` if there is none, or several of one split.
        """
        arms = [which["run"]] if "run" in which else list(self.runs)
        found = [
            (self.runs[arm], cell)
            for arm in arms
            if arm in self.runs
            for cell in self.runs[arm].cells
            if all(getattr(cell, key) == which[key] for key in ("defense", "params") if key in which)
        ]
        if not found:
            raise CannotJudge(f"there is no model with {named(which)}")
        if len({cell.split for _, cell in found}) < len(found):
            raise CannotJudge(f"several models of one split have {named(which)}")
        return found


def named(which: Selector) -> str:
    """The columns and values in words: "source 'extraction', level 0.05"."""
    return ", ".join(f"{column} {which[column]!r}" for column in (*COLUMNS, AMONG) if column in which)


def labels(selectors: Sequence[Selector]) -> tuple[str, ...]:
    """Short names for an axis: of each table of columns, what not all of them share; `params` alone where that will do.

    With one table there is nothing to tell apart, and its name is empty.
    """
    if len(selectors) == 1:
        return ("",)
    differing = [c for c in COLUMNS if len({which.get(c) for which in selectors}) > 1]
    full = tuple(" ".join(str(w[c]) for c in differing if w.get(c)) or NOT_STATED for w in selectors)
    short = tuple(str(w.get("params") or name) for w, name in zip(selectors, full, strict=True))
    return short if len(set(short)) == len(set(full)) else full


def metric_label(which: Selector) -> str:
    """What an axis calls the number that a table of columns chooses: "TPR at 1% FPR, loss"."""
    metric, level = str(which.get("metric", "")), which.get("level")
    at = "" if level is None else f"{100 * level:.3g}%"
    if metric.startswith(("fid_", "kid_")):
        return metric[:3].upper()
    names = {"auc": "AUC", "tpr_at_fpr": f"TPR at {at} FPR"}
    name = names.get(metric, metric.replace("_at_fdr", f" at {at} FDR").replace("_", " "))
    return f"{name}, {which['source']}" if metric in names and which.get("source") else name


def check_selector(which: Selector, where: str) -> None:
    """Raise `InputError` for a column that rows do not have or that cannot be chosen by, or a value of a wrong type."""
    if which.get(AMONG, "unique") not in ("planted", "unique"):
        raise InputError(f"{where}: among is {which[AMONG]!r}; it must be 'planted' or 'unique'")
    for column, value in which.items():
        if column == AMONG:
            continue
        if column not in COLUMNS:
            raise InputError(
                f"{where}: {column!r} is no column to choose rows by (known: {', '.join(COLUMNS)}, {AMONG})"
            )
        kinds = (int, float) if column == "level" else (str,)
        if not isinstance(value, kinds) or isinstance(value, bool):
            kind = "a number" if column == "level" else "a text"
            raise InputError(f"{where}: {column} is {value!r}; it must be {kind}")
