"""Rows on how much better a model denoises members than decoys."""

from __future__ import annotations

import numpy as np

from leakfront.attacks import Signals
from leakfront.attacks.loss import Loss
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.stages.cell_rows import row_of
from leakfront.results.run.rows import LOSS_GAP, Row, measured
from leakfront.results.statistics.mean_gap import mean_gap


def loss_gap_rows(
    plan: Plan, cell: CellPlan, attack: str, signals: Signals, members: np.ndarray, subjects: np.ndarray | None = None
) -> list[Row]:
    """For the attack `loss`, the mean denoising loss of decoys minus that of members, bool [P]; else no row.

    An image's loss is the mean of its squared errors over the attack's timesteps and draws; it is asked for nothing
    more. subjects: int64 [P], whose images share a coin; then each counts once, with the mean of its images.
    """
    asked = plan.attacks[attack]
    if not isinstance(asked, Loss):
        return []
    loss = signals[asked.signal]["errors"].astype(np.float64).mean(axis=1)
    if subjects is not None:
        loss, members = (np.bincount(subjects, weights=x) / np.bincount(subjects) for x in (loss, members))
        members = members > 0
    found = mean_gap(loss[~members], loss[members])
    return [row_of(plan, cell)(kind="privacy", source=attack, metric=LOSS_GAP, **measured(found), n=len(loss),
                               higher_is_better=False)]  # fmt: skip
