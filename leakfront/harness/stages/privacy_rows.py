"""Rows of privacy: the one place where membership and scores meet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.stages.audit_rows import audit_rows
from leakfront.harness.stages.cell_rows import row_of
from leakfront.harness.stages.pool import member_share
from leakfront.results.distances import RANGES as OF_DISTANCES
from leakfront.results.run.rows import (
    AUC_BY_COPIES,
    AUC_OF_HALVES,
    AUC_OF_PLANTED,
    CONTROL_AUC,
    EXTRACTED_BY_COPIES,
    NEAR_COPIES,
    WITH_WEIGHTS,
    Row,
    measured,
)
from leakfront.results.statistics.counts import clopper_pearson, excess_interval, extracted_at_fdr, extracted_interval
from leakfront.results.statistics.estimate import Estimate
from leakfront.results.statistics.halves import auc_of_halves
from leakfront.results.statistics.roc import auc_interval, tpr_interval
from leakfront.results.statistics.set_test import set_power
from leakfront.seeds import derive_seed

FPRS = (0.1, 0.01, 0.001)

Range = tuple[float | None, float | None]
_SHARE, _COUNT, _UNBOUNDED = (0.0, 1.0), (0.0, None), (None, None)
# the range that a quantity of privacy cannot leave, by its metric; others are unbounded
RANGES: dict[str, Range] = {
    "auc": _SHARE,
    AUC_OF_HALVES: _SHARE,
    AUC_OF_PLANTED: _SHARE,
    AUC_BY_COPIES: _SHARE,
    EXTRACTED_BY_COPIES: _SHARE,
    CONTROL_AUC: _SHARE,
    NEAR_COPIES: _COUNT,
    "tpr_at_fpr": _SHARE,
    "extracted_at_fdr": _COUNT,
    "planted_extracted_at_fdr": _COUNT,
    "unique_extracted_at_fdr": _COUNT,
    "decoys_matched_at_fdr": _COUNT,
    "members_before_decoys": _COUNT,
    "cliques_showing_member": _COUNT,
    "cliques_showing_decoy": _COUNT,
    "cliques_showing_nothing": _COUNT,
    "planted_members_asked": _COUNT,
    "set_p_value_members": _SHARE,
    "set_p_value_decoys": _SHARE,
    "set_detected_members": _SHARE,
    "set_detected_decoys": _SHARE,
    "agreement": (None, 1.0),  # of halves
    "epsilon": _COUNT,  # reported by private training
    "epsilon_rdp": _COUNT,
}
RANGES |= OF_DISTANCES
RANGES |= {f"{metric}{WITH_WEIGHTS}": ends for metric, ends in RANGES.items()}
_OF_RULES: dict[str, Range] = {"members": _COUNT, "decoys": _COUNT, "precision": _SHARE}  # the rule's name follows


def range_of(metric: str) -> Range:
    """The smallest and the largest possible value of a quantity of privacy; None where there is no bound."""
    quantity, _, rule = metric.partition("_")
    return RANGES.get(metric) or (_OF_RULES.get(quantity, _UNBOUNDED) if rule else _UNBOUNDED)


def left_out(plan: Plan, cell: CellPlan, source: str, shadows: float, reason: str) -> Row:
    """The row of an attack or audit that was not made; its value is the number of shadow models."""
    return row_of(plan, cell)(kind="privacy", source=source, metric="left_out", value=shadows, ci_method=reason)


def membership_rows(
    plan: Plan, cell: CellPlan, attack: str, score: np.ndarray, members: np.ndarray, copies: np.ndarray, private: bool
) -> list[Row]:
    """AUC, TPR at low FPR, and the one-run audit's bounds on epsilon. private: whether the model has a guarantee.

    With known membership there are no bounds, and the AUC between random halves of the decoys is added.
    """
    row = partial(row_of(plan, cell), kind="privacy", source=attack, higher_is_better=False)
    seed, n_members = derive_seed(plan.config.seed, "intervals", attack, cell.split), int(members.sum())
    rows = [row(metric="auc", **measured(auc_interval(score, members, seed)), n=len(score))]
    if plan.known_membership:
        halves = auc_of_halves(score, ~members, derive_seed(plan.config.seed, "halves", cell.split))
        rows.append(row(metric=AUC_OF_HALVES, **measured(halves), n=len(score) - n_members))
    for fpr in FPRS:
        found = tpr_interval(score, members, fpr, seed)
        rows.append(row(metric="tpr_at_fpr", level=fpr, **measured(found), n=n_members))
    if plan.config.data.coin == 0.5 and not plan.known_membership:  # the audit's bound is for fair coins
        rows += audit_rows(plan, cell, attack, score, members, copies, private)
    return rows


def planted_rows(
    plan: Plan, cell: CellPlan, attack: str, score: np.ndarray, members: np.ndarray, copies: np.ndarray
) -> list[Row]:
    """AUC among the images that are planted several times; nothing if none is, or all are members or decoys."""
    planted = copies > 1
    if len(np.unique(members[planted])) < 2:
        return []
    seed = derive_seed(plan.config.seed, "intervals", attack, cell.split)
    found, n = measured(auc_interval(score[planted], members[planted], seed)), int(planted.sum())
    row = row_of(plan, cell)(kind="privacy", source=attack, metric=AUC_OF_PLANTED, **found, n=n, higher_is_better=False)
    return [row]


def extraction_rows(
    plan: Plan, cell: CellPlan, attack: str, scores: dict[str, np.ndarray], members: np.ndarray, copies: np.ndarray
) -> list[Row]:
    """Unique images extracted at the false-discovery rate, and under the attack's fixed rules."""
    row = partial(row_of(plan, cell), kind="privacy", source=attack)
    rate, n_members, n_decoys = plan.config.statistics.false_discovery_rate, int(members.sum()), int((~members).sum())
    share = member_share(plan, members)
    extracted = extracted_at_fdr(scores.get("extraction", scores["score"]), members, rate, share)
    planted, unique = members & (copies > 1), members & (copies == 1)
    rows = []
    for name, among in (
        ("extracted_at_fdr", members),
        ("planted_extracted_at_fdr", planted),
        ("unique_extracted_at_fdr", unique),
    ):
        found, most, n = (int(mask.sum()) for mask in (extracted.mask & among, extracted.possible & among, among))
        method = (
            f"Clopper-Pearson, the upper end for {most}, the count without the rate's + 1; at least "
            f"{math.ceil(share / (1 - share) / rate)} can be reported"
        )
        count = Estimate(float(found), *extracted_interval(extracted, among), method)
        rows.append(row(metric=name, level=rate, **measured(count), n=n, higher_is_better=False))
    before, matched = float(extracted.before_decoys), float(extracted.decoys_matched)
    rows.append(row(metric="members_before_decoys", value=before, n=n_members, higher_is_better=False))
    rows.append(row(metric="decoys_matched_at_fdr", level=rate, value=matched, n=n_decoys))
    if math.isfinite(extracted.threshold):
        rows.append(row(metric="threshold_at_fdr", level=rate, value=extracted.threshold, n=len(members)))
    for rule in (name.removeprefix("matched_") for name in sorted(scores) if name.startswith("matched_")):
        rows += _rule_rows(row, rule, scores[f"matched_{rule}"].astype(bool), members)
    return rows


def _rule_rows(row: Callable[..., Row], rule: str, matched: np.ndarray, members: np.ndarray) -> list[Row]:
    """Members and decoys that a fixed rule calls extracted, bool [P], and what follows from both counts."""
    true, false = int((matched & members).sum()), int((matched & ~members).sum())
    n_members, n_decoys = int(members.sum()), int((~members).sum())
    excess = Estimate(*excess_interval(true, n_members, false, n_decoys), "two Clopper-Pearson intervals at 97.5%")
    rows = [
        row(metric=f"members_{rule}", value=float(true), n=n_members, higher_is_better=False),
        row(metric=f"decoys_{rule}", value=float(false), n=n_decoys),
        row(metric=f"excess_{rule}", **measured(excess), n=n_members, higher_is_better=False),
    ]
    if total := true + false:
        precision = Estimate(true / total, *clopper_pearson(true, total), "Clopper-Pearson")
        rows.append(row(metric=f"precision_{rule}", **measured(precision), n=total, higher_is_better=False))
    return rows


def set_rows(
    plan: Plan, cell: CellPlan, attack: str, sizes: Sequence[int], score: np.ndarray, members: np.ndarray
) -> list[Row]:
    """How reliably the attack tells a set of members from a set of images that were not trained on, by its size."""
    row = partial(row_of(plan, cell), kind="privacy", source=attack)
    seed, rows = derive_seed(plan.config.seed, "sets", attack, cell.split), []
    for size in sizes:
        if size > min(int(members.sum()), int((~members).sum())) // 2:
            continue
        for kind, tested in (("members", set_power(score, members, size, seed)),
                             ("decoys", set_power(score, members, size, seed, of_decoys=True))):  # fmt: skip
            p = Estimate(tested.median_p, *tested.quartiles, "median and quartiles over random sets, Welch's t test")
            detected = "share of random sets with p < 0.05, Welch's t test"
            level, n = float(size), tested.sets
            rows.append(row(metric=f"set_p_value_{kind}", level=level, **measured(p), n=n))
            rows.append(row(metric=f"set_detected_{kind}", level=level, value=tested.detected, ci_method=detected, n=n,
                            higher_is_better=False))  # fmt: skip
    return rows
