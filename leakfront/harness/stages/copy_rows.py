"""Rows by the number of copies, for a pool with several: what an image's copies add to what an attack finds of it."""

from __future__ import annotations

from functools import partial

import numpy as np

from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.stages.cell_rows import row_of
from leakfront.harness.stages.pool import member_share
from leakfront.results.run.rows import AUC_BY_COPIES, EXTRACTED_BY_COPIES, Row, measured
from leakfront.results.statistics.counts import clopper_pearson, extracted_at_fdr
from leakfront.results.statistics.estimate import Estimate
from leakfront.results.statistics.roc import auc_interval
from leakfront.seeds import derive_seed


def copy_rows(
    plan: Plan,
    cell: CellPlan,
    attack: str,
    scores: dict[str, np.ndarray],
    members: np.ndarray,
    copies: np.ndarray,
) -> list[Row]:
    """For each number of copies, the level: AUC of its members against all decoys, and the share of them extracted.

    No rows unless `data.duplicates.copies` lists several numbers. Decoys are never shown, so their copies, which they
    would have as members, do not matter. Images that are not planted are among those with one copy. The share is for
    attacks whose finds are counted: of these members, how many are extracted at the false-discovery rate, which holds
    for all members together. members: bool [P]. copies: int64 [P].
    """
    if len(plan.config.data.duplicates.levels) < 2:
        return []
    row = partial(row_of(plan, cell), kind="privacy", source=attack, higher_is_better=False)
    seed, rate = (
        derive_seed(plan.config.seed, "copies", attack, cell.split),
        plan.config.statistics.false_discovery_rate,
    )
    found = None
    if plan.attacks[attack].extracts:
        counted = scores.get("extraction", scores["score"])
        found = extracted_at_fdr(counted, members, rate, member_share(plan, members)).mask
    rows = []
    for level in np.unique(copies[members]).tolist():
        mine, score = members & (copies == level), scores["score"]
        asked = mine | ~members
        auc = auc_interval(score[asked], mine[asked], seed)
        rows.append(row(metric=AUC_BY_COPIES, level=float(level), **measured(auc), n=int(mine.sum())))
        if found is not None:
            n, matched = int(mine.sum()), int((found & mine).sum())
            share = Estimate(matched / n, *clopper_pearson(matched, n), "Clopper-Pearson")
            rows.append(row(metric=EXTRACTED_BY_COPIES, level=float(level), **measured(share), n=n))
    return rows
