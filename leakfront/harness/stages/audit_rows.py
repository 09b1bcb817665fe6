"""Rows of the one-run audit: of one model, and the best over the models of a defense."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.stages.cell_rows import row_of
from leakfront.results.run.rows import ALL, Row, measured
from leakfront.results.statistics.estimate import Estimate
from leakfront.results.statistics.one_run import OneRun
from leakfront.results.statistics.one_run_best import BestBound, Bound, Guessed, best_bound, tighter_epsilon
from leakfront.results.statistics.one_run_f_dp import one_run_epsilon_f_dp

GUESSED = "audit_guesses_right"
_PLAIN, _GAUSSIAN = "epsilon_lower_bound", "epsilon_lower_bound_f_dp"
AUDITS: dict[str, tuple[Bound, str]] = {  # by metric, with the name of the audit
    _PLAIN: (tighter_epsilon, "one-run audit"),
    _GAUSSIAN: (one_run_epsilon_f_dp, "f-DP one-run audit of Gaussian trade-off curves (mu-GDP)"),
}
ENDS = ("_ceiling", "_saturated")  # of the metrics that go with a bound


def audit_rows(
    plan: Plan, cell: CellPlan, attack: str, score: np.ndarray, members: np.ndarray, copies: np.ndarray, private: bool
) -> list[Row]:
    """The bounds on epsilon from one model, by the images that were not planted more than once.

    Every number of guesses counts, each at a level corrected for their number and that of the attacks. A private model
    is audited as a Gaussian mechanism, too. The level of the rows of right guesses is the number of guesses.
    """
    statistics, eligible = plan.config.statistics, copies == 1
    outcomes = []
    for guesses in statistics.guesses(int(eligible.sum())):
        coins, right = OneRun(guesses=guesses, delta=statistics.audit_delta).guess(score, members, eligible)
        outcomes.append(Guessed(coins, guesses, right))
    row = partial(row_of(plan, cell), kind="privacy", source=attack)
    rows = []
    for metric in (_PLAIN, _GAUSSIAN) if private else (_PLAIN,):
        bound, name = AUDITS[metric]
        best = best_bound(outcomes, statistics.audit_delta, len(plan.attacks), bound)
        method = _method(name, best.outcome, attacks=len(plan.attacks), **{"numbers of guesses": len(outcomes)})
        columns = _columns(metric, best, method)
        rows += [row(metric=key, n=outcomes[0].coins, **columns[key]) for key in columns]
    return rows + [row(metric=GUESSED, level=float(r), value=float(v), n=r) for _, r, v in outcomes]


def audit_over_splits(bounds: Sequence[Row], guessed: Sequence[Row], delta: float, attacks: int) -> list[Row]:
    """The best of the bounds of all splits, each at a level that is corrected for the number of splits, too.

    bounds: the rows of one of `AUDITS`, of one attack and defense. guessed: the rows of its right guesses; in runs of
    earlier versions they have no level, and there is one for each split.
    """
    first, coins = bounds[0], {row.split: row.n for row in bounds}
    outcomes = [Guessed(coins[row.split], row.n, int(row.value)) for row in guessed]
    bound, name = AUDITS[first.metric]
    best = best_bound(outcomes, delta, attacks, bound)
    counts = {"attacks": attacks, "numbers of guesses": len({row.level for row in guessed}), "splits": len(bounds)}
    columns = _columns(first.metric, best, f"{_method(name, best.outcome, **counts)}, the best of which is shown")
    over = replace(first, cell="", split=ALL, n=sum(row.n for row in bounds))
    return [replace(over, metric=key, **columns[key]) for key in columns]


def _method(name: str, outcome: Guessed, **counts: int) -> str:
    """How a bound was made: the guesses behind it, and the numbers that it is corrected for."""
    *most, last = [f"{count} {what}" for what, count in counts.items() if count > 1 or what != "numbers of guesses"]
    corrected = f"{', '.join(most)} and {last}" if most else last
    return f"{name}, {outcome.right} of {outcome.guesses} guesses right, corrected for {corrected}"


def _columns(metric: str, best: BestBound, method: str) -> dict[str, dict[str, Any]]:
    """By metric, the columns that an audit fills: the bound, the most it could be, whether all guesses were right."""
    bare = {"ci_low": math.nan, "ci_high": math.nan, "ci_method": "", "higher_is_better": None}
    return {
        metric: {**measured(Estimate(best.epsilon, best.epsilon, math.inf, method)), "higher_is_better": False},
        f"{metric}_ceiling": {**bare, "value": best.ceiling},
        f"{metric}_saturated": {**bare, "value": float(best.saturated)},
    }
