"""Rows over splits, and the files that hold all rows of a run."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from attacks.one_run import ceiling, one_run_epsilon
from leakfront.layout import Layout
from leakfront.stages.measure import audit_method
from leakfront.store import write_atomically
from results.rows import Row, frame
from results.statistics.splits import over_splits

# the range that a quantity cannot leave, by the beginning of its metric's name; others are unbounded
_RANGES: tuple[tuple[str, float | None, float | None], ...] = (
    ("auc", 0, 1), ("tpr_", 0, 1), ("extracted", 0, None), ("planted", 0, None), ("members_", 0, None),
    ("decoys_", 0, None), ("fid_", 0, None), ("epsilon", 0, None),
)
_NOT_AVERAGED = ("diverged", "failed")


def over_all_splits(rows: Sequence[Row], delta: float, attacks: int) -> list[Row]:
    """One row "all" for every number of every defense: the mean over splits, with an interval that covers their spread.

    The audit's bound is not averaged: the splits' coins are independent and each touches one model only, so all splits
    together are one mechanism with the same epsilon, and their coins and guesses are pooled into one audit.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row.split != "all" and row.metric not in _NOT_AVERAGED:
            groups.setdefault((row.defense, row.params, row.kind, row.source, row.metric), []).append(row)
    averaged = []
    for (*where, metric), group in groups.items():
        first = group[0]
        if metric.startswith("epsilon_lower_bound"):
            guessed = groups[*where, "audit_guesses_right"]
            averaged.append(_pooled_audit(group, guessed, delta, attacks))
            continue
        floor, ceiling = next(((a, b) for name, a, b in _RANGES if first.metric.startswith(name)), (None, None))
        value, low, high, method = over_splits(
            [r.value for r in group], [r.ci_low for r in group], [r.ci_high for r in group], floor, ceiling
        )
        averaged.append(
            Row(
                first.run,
                "",
                first.dataset,
                first.model,
                first.defense,
                first.params,
                "all",
                first.kind,
                first.source,
                first.metric,
                value,
                low,
                high,
                method,
                sum(r.n for r in group),
                first.higher_is_better,
            )
        )
    return averaged


def _pooled_audit(group: Sequence[Row], guessed: Sequence[Row], delta: float, attacks: int) -> Row:
    coins, guesses = sum(row.n for row in group), sum(row.n for row in guessed)
    right = int(sum(row.value for row in guessed))
    level = 0.05 / attacks
    first = replace(group[0], cell="", split="all", n=coins)
    if first.metric == "epsilon_lower_bound_ceiling":
        return replace(first, value=ceiling(coins, guesses, delta, level))
    bound = one_run_epsilon(coins, guesses, right, delta, level)
    method = f"{audit_method(right, guesses, attacks)}, pooled over {len(group)} splits"
    return replace(first, value=bound, ci_low=bound, ci_high=math.inf, ci_method=method)


def write_results(layout: Layout, rows: Sequence[Row], info: dict[str, Any]) -> None:
    """Write results.csv, results.parquet and run.json, each in one step."""
    table = frame(rows)
    write_atomically(layout.root / "results.csv", table.to_csv(index=False, lineterminator="\n"))
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    write_atomically(layout.root / "results.parquet", buffer.getvalue())
    write_atomically(layout.root / "run.json", json.dumps(info, indent=1))
