"""Rows over splits, and the files that hold all rows of a run."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from leakfront.harness.stages.audit_rows import AUDITS, ENDS, GUESSED, audit_over_splits
from leakfront.harness.stages.privacy_rows import range_of
from leakfront.harness.store.artifacts import write_atomically
from leakfront.harness.store.layout import Layout
from leakfront.results.metrics import Metric, registry
from leakfront.results.run.rows import ALL, LOSS_GAP, NO_MODEL, OF_FIT, Row, frame, measured
from leakfront.results.run.state import CHECKSUMS
from leakfront.results.statistics.estimate import Estimate
from leakfront.results.statistics.fits import mean_over_fits, widened
from leakfront.results.statistics.splits import over_splits

_WITH_A_BOUND = tuple(f"{metric}{end}" for metric in AUDITS for end in ENDS)
_NOT_AVERAGED = (*NO_MODEL, "left_out")
_WITHOUT_SHADOWS = (LOSS_GAP,)  # metrics of an attack that do not depend on its shadow models


def over_all_splits(rows: Sequence[Row], delta: float, attacks: int, fitted: Collection[str] = ()) -> list[Row]:
    """One row "all" for every number of every defense: the mean over splits, with an interval that covers their spread.

    fitted: the attacks that use the models of other splits as shadow models, so that their values share coins.
    An audit's bound is not averaged. It is the largest of the splits' bounds, each made at a level that is corrected
    for the number of splits too. (Guesses cannot be pooled over splits: an attack that uses shadow models has seen the
    coins of the other splits.)
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    guessed: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row.split != ALL and row.metric not in _NOT_AVERAGED:
            measured_by = (row.defense, row.params, row.kind, row.source)
            groups.setdefault((*measured_by, row.metric, row.level), []).append(row)
            if row.metric == GUESSED:
                guessed.setdefault(measured_by, []).append(row)
    of_fits: dict[tuple[Any, ...], list[list[Row]]] = {}
    for (*where, metric, _), group in groups.items():
        if metric.endswith(OF_FIT):
            of_fits.setdefault((*where, metric.removesuffix(OF_FIT)), []).append(group)
    averaged = []
    for (*where, metric, _), group in groups.items():
        if metric in AUDITS:
            averaged += audit_over_splits(group, guessed[tuple(where)], delta, attacks)
        if metric in AUDITS or metric in _WITH_A_BOUND:
            continue
        shared_coins = group[0].kind == "privacy" and group[0].source in fitted and metric not in _WITHOUT_SHADOWS
        found = _mean(group, of_fits.get((*where, metric), []), shared_coins)
        averaged.append(replace(group[0], cell="", split=ALL, **measured(found), n=sum(r.n for r in group)))
    return averaged


def _mean(group: Sequence[Row], of_fits: Sequence[Sequence[Row]], shared_coins: bool) -> Estimate:
    """The mean over splits, and over fits of the feature extractor if there are several.

    of_fits: for each fit, its rows of the splits. All splits share the fits, so the variation between these does not
    fall with the number of splits: it is added to the interval over splits, which is made without it. shared_coins: see
    `over_splits`.
    """
    ends = _range(group[0])
    within = [Estimate(row.value, row.ci_low, row.ci_high, row.ci_method) for row in group]
    if of_fits:
        splits = zip(*of_fits, strict=True)
        within = [
            mean_over_fits([Estimate(r.value, r.ci_low, r.ci_high, r.ci_method) for r in rows]) for rows in splits
        ]
    values, lows, highs = ([getattr(e, part) for e in within] for part in ("value", "low", "high"))
    found = over_splits(values, lows, highs, *ends, shared_coins=shared_coins)
    return widened(found, [float(np.mean([r.value for r in rows])) for rows in of_fits], *ends) if of_fits else found


def _range(row: Row) -> tuple[float | None, float | None]:
    """The smallest and the largest possible value; a utility metric states its own."""
    if row.kind == "utility":
        metric: type[Metric] = registry.get(row.source)
        return metric.floor, metric.ceiling
    return (0.0, None) if row.kind == "cost" else range_of(row.metric)


def write_results(layout: Layout, rows: Sequence[Row], info: dict[str, Any]) -> None:
    """Write results.csv, results.parquet and run.json, each in one step.

    run.json is the last and holds the checksums of the others, so that rows of one state beside a run.json of another
    are noticed by every reader.
    """
    table = frame(replace(row, suite=info["suite"]) for row in rows)
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    csv = table.to_csv(index=False, lineterminator="\n").encode()
    files = {"results.csv": csv, "results.parquet": buffer.getvalue()}
    for name, content in files.items():
        write_atomically(layout.root / name, content)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    write_atomically(layout.root / "run.json", json.dumps({**info, CHECKSUMS: sums}, indent=1))
