"""Rows of the controls of known membership: what tells members from decoys without the model."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from leakfront.attacks.controls.content import content_features
from leakfront.attacks.controls.cross_fit import FEWEST, fitted_scores, widening
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.cell_rows import row_of
from leakfront.harness.stages.pool import stored_file_facts
from leakfront.harness.store.layout import Layout
from leakfront.results.run.rows import CONTROL_AUC, CONTROL_CONTENT, CONTROL_FILES, NEAR_COPIES, Row, measured
from leakfront.results.statistics.estimate import Estimate
from leakfront.results.statistics.roc import auc_interval
from leakfront.seeds import derive_seed


def control_rows(plan: Plan, cell: CellPlan, layout: Layout, pool: Pool, members: np.ndarray) -> list[Row]:
    """How well image content, and the facts of the files, tell members from decoys; and near copies across the sides.

    Each is a logistic regression, judged on images that it was not fitted on: its AUC is 0.5 but for chance if members
    and decoys are of one distribution.
    """
    row = partial(row_of(plan, cell), kind="privacy")
    facts, near = stored_file_facts(layout)
    seed = derive_seed(plan.config.seed, "controls", cell.split)
    of = None if pool.subjects is None else np.asarray(pool.subjects)
    groups = near.groups if of is None else _joined(near.groups, of)
    content = control_auc(content_features(pool.images), members, groups, seed, of)
    rows = [row(source=CONTROL_CONTENT, metric=CONTROL_AUC, **measured(content), n=len(members))]
    if facts is not None:
        of_files = control_auc(facts.features(), members, groups, seed, of)
        rows.append(row(source=CONTROL_FILES, metric=CONTROL_AUC, **measured(of_files), n=len(members)))
    decoys = int((~members).sum())
    rows.append(row(source=NEAR_COPIES, metric=NEAR_COPIES, value=float(len(near.across(members))), n=decoys))
    return rows


def _joined(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Groups int64 [P] that are equal for images that are in one group of either."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    nodes, size = np.stack([one, other + one.max() + 1]), int(one.max() + other.max() + 2)
    graph = coo_array((np.ones(len(one), bool), (nodes[0], nodes[1])), shape=(size, size))
    joined: np.ndarray = connected_components(graph, directed=False)[1][one].astype(np.int64)
    return joined


def control_auc(
    features: np.ndarray, members: np.ndarray, groups: np.ndarray, seed: int, subjects: np.ndarray | None = None
) -> Estimate:
    """The AUC of scores by cross-validation, with an interval that allows for the fits' common images.

    features: float64 [P, d]. members: bool [P]. groups: int64 [P], of images that are never on both sides of a fit. nan
    where nothing can be fitted. subjects: int64 [P]; then the AUC is that of the means of subjects.
    """
    scores = fitted_scores(features, members, groups, seed)
    if scores is None:
        reason = f"not fitted: it needs {FEWEST} members and decoys that are no near copies of each other"
        return Estimate(math.nan, math.nan, math.nan, reason)
    if subjects is not None:
        images = np.bincount(subjects)
        scores = np.bincount(subjects, weights=scores) / images
        members = np.bincount(subjects, weights=members) > 0
    value, low, high, method = auc_interval(scores, members, seed)
    wider = widening()
    method = f"10-fold cross-validation; {method}, {wider:.2f} times as wide for the fits' common images"
    return Estimate(value, max(value - wider * (value - low), 0.0), min(value + wider * (high - value), 1.0), method)
