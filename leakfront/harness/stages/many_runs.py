"""The audit over all splits of a defense: one canary, which each model was trained with or without."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from scipy.spatial.distance import cdist

from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.attack import load_scores
from leakfront.harness.stages.cell_rows import row_of
from leakfront.harness.stages.extractor import pool_set
from leakfront.harness.stages.prepare import load_members
from leakfront.harness.store.layout import Layout
from leakfront.results.run.rows import ALL, Row, measured
from leakfront.results.statistics.estimate import Estimate
from leakfront.results.statistics.many_run import guess, many_run_epsilon


def many_run_rows(plan: Plan, cells: Sequence[CellPlan], layout: Layout, pool: Pool) -> list[Row]:
    """Bounds on epsilon from the models of all splits of one defense, for every attack that uses no shadow model.

    (One that does has seen the coins of the other splits, so that its guesses would not be independent.) The canary is
    chosen before anything is trained: of the images that are planted no more than once, the one farthest on average
    from the others in feature space. Nothing for fewer than two splits, a coin that is not fair, or subjects.
    """
    attacks = [label for label, attack in plan.attacks.items() if not attack.uses_shadows and attack.access != "none"]
    if len(cells) < 2 or plan.config.data.coin != 0.5 or not attacks or pool.subjects is not None:
        return []
    eligible = pool.copies == 1
    canary = most_outlying(pool_set(layout, pool).first_fit.matrix(), eligible)
    members = np.array([load_members(cell, layout)[canary] for cell in cells])
    delta, rows = plan.config.statistics.audit_delta, []
    for label in attacks:
        guesses = np.array([guess(load_scores(label, cell, layout)["score"], canary, eligible) for cell in cells])
        bound = many_run_epsilon(guesses, members, delta, confidence=1 - 0.05 / len(attacks))
        right = int((guesses == members).sum())
        method = (
            f"many-run audit of one canary, {right} of {len(cells)} guesses right, corrected for {len(attacks)} attacks"
        )
        row = partial(row_of(plan, cells[0], split=ALL), kind="privacy", source=label, n=len(cells))
        found = measured(Estimate(bound.epsilon, bound.epsilon, math.inf, method))
        rows += [
            row(metric="many_run_epsilon_lower_bound", **found, higher_is_better=False),
            row(metric="many_run_epsilon_lower_bound_ceiling", value=bound.ceiling),
        ]
    return rows


def most_outlying(features: np.ndarray, eligible: np.ndarray) -> int:
    """The eligible image that is farthest on average from the others; features [P, d], eligible bool [P]."""
    among = np.flatnonzero(eligible)
    distance = np.concatenate(
        [cdist(features[part], features[among]).mean(1) for part in np.array_split(among, -(-len(among) // 1024))]
    )
    return int(among[int(np.argmax(distance))])
