"""Rows of one cell: how they name it, and those of a cell that has no other rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.stages.train import load_facts
from leakfront.harness.store.layout import Layout
from leakfront.results.run.rows import Row


def row_of(plan: Plan, cell: CellPlan, split: str = "") -> Callable[..., Row]:
    """Make rows of a cell, or of all splits of its defense, from the columns after `split`, by name."""
    return partial(
        Row,
        run=plan.config.name,
        cell="" if split else cell.name,
        dataset=plan.data_name,
        model=plan.model.label,
        defense=cell.point.line,
        params=cell.point.params,
        split=split or str(cell.split),
    )


def diverged_row(plan: Plan, cell: CellPlan, layout: Layout) -> Row:
    """The one row of a cell whose training diverged: the step at which it did."""
    step = load_facts(cell, layout)["diverged"]
    return row_of(plan, cell)(kind="utility", source="train", metric="diverged", value=float(step), n=1)


def failed_row(plan: Plan, cell: CellPlan) -> Row:
    """The one row of a cell that could not be finished."""
    return row_of(plan, cell)(kind="utility", source="run", metric="failed", value=1.0, n=1)
