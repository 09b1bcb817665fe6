"""From scores, coins and samples to rows: the one place where membership and scores meet."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from leakfront.harness.machine.clock import kind_of_time
from leakfront.harness.plan.external import NO_AUDIT
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.attack import WITH_WEIGHTS, load_facts, load_scores
from leakfront.harness.stages.extractor import reference_set
from leakfront.harness.stages.features import sample_set
from leakfront.harness.stages.pool import member_share
from leakfront.harness.stages.prepare import load_members, load_notes
from leakfront.harness.stages.reference import utility_rows
from leakfront.harness.stages.stage import Files, Stage, Subject, Work
from leakfront.harness.stages.train import load_facts as load_training
from leakfront.harness.store.code_keys import with_imports
from leakfront.harness.store.layout import Layout
from leakfront.results.run.rows import WITH_WEIGHTS as OF_WEIGHTS
from leakfront.results.run.rows import Row, measured
from leakfront.results.statistics.counts import clopper_pearson, excess_interval, extracted_at_fdr, extracted_interval
from leakfront.results.statistics.estimate import Estimate
from leakfront.results.statistics.one_run import OneRun
from leakfront.results.statistics.roc import auc_interval, tpr_interval
from leakfront.results.statistics.set_test import set_power
from leakfront.seeds import derive_seed

FPRS = (0.1, 0.01, 0.001)

Range = tuple[float | None, float | None]
_SHARE, _COUNT, _UNBOUNDED = (0.0, 1.0), (0.0, None), (None, None)
# the range that a quantity of privacy cannot leave, by its metric; others are unbounded
RANGES: dict[str, Range] = {
    "auc": _SHARE,
    "tpr_at_fpr": _SHARE,
    "extracted_at_fdr": _COUNT,
    "planted_extracted_at_fdr": _COUNT,
    "unique_extracted_at_fdr": _COUNT,
    "decoys_matched_at_fdr": _COUNT,
    "members_before_decoys": _COUNT,
    "set_p_value_members": _SHARE,
    "set_p_value_decoys": _SHARE,
    "set_detected_members": _SHARE,
    "set_detected_decoys": _SHARE,
    "epsilon": _COUNT,  # reported by private training
    "epsilon_rdp": _COUNT,
}
RANGES |= {f"{metric}{OF_WEIGHTS}": ends for metric, ends in RANGES.items()}
_OF_RULES: dict[str, Range] = {"members": _COUNT, "decoys": _COUNT, "precision": _SHARE}  # the rule's name follows


def _settings(subject: Subject) -> list[Any]:
    config = subject.plan.config
    return [config.statistics.model_dump(), config.name, config.data.model_dump(), list(subject.plan.attacks),
            len(subject.shadows)]  # fmt: skip


def _code(subject: Subject) -> list[str]:
    statistics = [f"leakfront.results.statistics.{name}" for name in ("roc", "counts", "set_test")]
    return [*with_imports("leakfront.results.statistics.one_run"), *statistics]


def _run(work: Work) -> Files:
    """All rows of a cell that was attacked with these shadow models."""
    plan, cell, layout, pool, shadows = work.plan, work.cell, work.layout, work.pool, work.shadows
    members = load_members(cell, layout)
    judged, rows = plan.judged_by(len(shadows)), []
    for name, attack in plan.attacks.items():
        if name not in judged:
            rows.append(_left_out(plan, cell, name, float(len(shadows)), plan.note(name, len(shadows))))
            continue
        scores = load_scores(name, cell, layout)
        rows += _membership_rows(plan, cell, name, scores["score"], members, pool)
        if attack.extracts:
            rows += _extraction_rows(plan, cell, name, scores, members, pool)
            past = {k.removeprefix(WITH_WEIGHTS): v for k, v in scores.items() if k.startswith(WITH_WEIGHTS)}
            if past:
                again = _extraction_rows(plan, cell, name, past, members, pool)
                rows += [replace(row, metric=f"{row.metric}{OF_WEIGHTS}") for row in again]
        rows += _set_rows(plan, cell, name, attack.set_sizes(), scores["score"], members)
    if plan.known_membership:
        rows.append(_left_out(plan, cell, "one_run_audit", 0.0, NO_AUDIT))
    generated, real = sample_set(cell, layout), reference_set(layout, pool)
    rows += utility_rows(plan, generated, real, cell.name, cell.point.line, cell.point.params, str(cell.split))
    rows += _reports_of_defenses(plan, cell, layout)
    rows += _cost_rows(plan, cell, judged, layout, len(pool))
    return {"rows.json": [vars(row) for row in rows]}


MEASURE = Stage(
    "measure", "cell", inputs=("attack", "prepare", "train", "sample", "features", "probe", "reference"),
    settings=_settings, code=_code, run=_run,
)  # fmt: skip


def cell_rows(plan: Plan, cell: CellPlan, layout: Layout) -> list[Row]:
    """The rows of a measured cell."""
    return [Row(**row) for row in _read(layout.stage(cell.name, "measure") / "rows.json")]


def diverged_row(plan: Plan, cell: CellPlan, layout: Layout) -> Row:
    """The one row of a cell whose training diverged: the step at which it did."""
    step = load_training(cell, layout)["diverged"]
    return row_of(plan, cell)(kind="utility", source="train", metric="diverged", value=float(step), n=1)


def failed_row(plan: Plan, cell: CellPlan) -> Row:
    """The one row of a cell that could not be finished."""
    return row_of(plan, cell)(kind="utility", source="run", metric="failed", value=1.0, n=1)


def audit_method(correct: int, guesses: int, attacks: int) -> str:
    """How a bound of the one-run audit was made, for its row."""
    return f"one-run audit, {correct} of {guesses} guesses right, corrected for {attacks} attacks"


def row_of(plan: Plan, cell: CellPlan, split: str = "") -> Callable[..., Row]:
    """Make rows of a cell, or of all splits of its defense, from the columns after `split`, by name."""
    return partial(
        Row,
        run=plan.config.name,
        cell="" if split else cell.name,
        dataset=plan.config.data.dataset,
        model=plan.model.name,
        defense=cell.point.line,
        params=cell.point.params,
        split=split or str(cell.split),
    )


def range_of(metric: str) -> Range:
    """The smallest and the largest possible value of a quantity of privacy; None where there is no bound."""
    quantity, _, rule = metric.partition("_")
    return RANGES.get(metric) or (_OF_RULES.get(quantity, _UNBOUNDED) if rule else _UNBOUNDED)


def _left_out(plan: Plan, cell: CellPlan, source: str, shadows: float, reason: str) -> Row:
    """The row of an attack or audit that was not made; its value is the number of shadow models."""
    return row_of(plan, cell)(kind="privacy", source=source, metric="left_out", value=shadows, ci_method=reason)


def _membership_rows(
    plan: Plan, cell: CellPlan, attack: str, score: np.ndarray, members: np.ndarray, pool: Pool
) -> list[Row]:
    """AUC, TPR at low FPR, and the one-run audit's bound on epsilon."""
    row = partial(row_of(plan, cell), kind="privacy", source=attack, higher_is_better=False)
    seed, n_members = derive_seed(plan.config.seed, "intervals", attack, cell.split), int(members.sum())
    rows = [row(metric="auc", **measured(auc_interval(score, members, seed)), n=len(score))]
    for fpr in FPRS:
        found = tpr_interval(score, members, fpr, seed)
        rows.append(row(metric="tpr_at_fpr", level=fpr, **measured(found), n=n_members))
    if plan.config.data.coin == 0.5 and not plan.known_membership:  # the audit's bound is for fair coins
        rows += _audit_rows(plan, cell, attack, score, members, pool)
    return rows


def _audit_rows(
    plan: Plan, cell: CellPlan, attack: str, score: np.ndarray, members: np.ndarray, pool: Pool
) -> list[Row]:
    """The one-run audit's bound on epsilon, from the images that were not planted more than once."""
    row, statistics = partial(row_of(plan, cell), kind="privacy", source=attack), plan.config.statistics
    audit = OneRun(guesses=statistics.audit_guesses, delta=statistics.audit_delta)
    bound = audit.bound(score, members, pool.copies == 1, corrections=len(plan.attacks))
    method = audit_method(bound.correct, bound.guesses, len(plan.attacks))
    found = Estimate(bound.epsilon, bound.epsilon, math.inf, method)
    return [
        row(metric="epsilon_lower_bound", **measured(found), n=bound.coins, higher_is_better=False),
        row(metric="epsilon_lower_bound_ceiling", value=bound.ceiling, n=bound.coins),
        row(metric="audit_guesses_right", value=float(bound.correct), n=bound.guesses),
    ]


def _extraction_rows(
    plan: Plan, cell: CellPlan, attack: str, scores: dict[str, np.ndarray], members: np.ndarray, pool: Pool
) -> list[Row]:
    """Unique images extracted at the false-discovery rate, and under the attack's fixed rules."""
    row = partial(row_of(plan, cell), kind="privacy", source=attack)
    rate, n_members, n_decoys = plan.config.statistics.false_discovery_rate, int(members.sum()), int((~members).sum())
    share = member_share(plan, members)
    extracted = extracted_at_fdr(scores["score"], members, rate, share)
    planted, unique = members & (pool.copies > 1), members & (pool.copies == 1)
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


def _set_rows(
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


def _reports_of_defenses(plan: Plan, cell: CellPlan, layout: Layout) -> list[Row]:
    """What the defenses measured of themselves: duplicates removed, epsilon spent, …"""
    trained = load_training(cell, layout)
    row, n = partial(row_of(plan, cell), kind="privacy"), trained["training_images"]
    by_place = {defense.acts_on: defense.name for defense in cell.point.stack}
    rows = [
        row(source=by_place.get("data", "prepare"), metric=name, value=value, n=n)
        for name, value in load_notes(cell, layout).items()
    ]
    rows += [
        row(source=by_place.get("training", "train"), metric=name, value=value, n=n)
        for name, value in trained["report"].items()
    ]
    claim = trained["guarantee"] or {}
    if claim.get("group_epsilon") is not None:  # for all copies of one image together
        epsilon, copies = claim["group_epsilon"], claim["group"]
        rows.append(row(source=by_place["training"], metric="group_epsilon", value=epsilon, n=copies))
    return rows


def _cost_rows(plan: Plan, cell: CellPlan, judged: Sequence[str], layout: Layout, pool: int) -> list[Row]:
    """The cost of training, sampling, probing and scoring; the training of an external model is unknown."""
    trained = load_training(cell, layout)
    sampled = _read(layout.stage(cell.name, "sample") / "sample.json")
    probed = _read(layout.stage(cell.name, "probe") / "probe.json")
    sampling, time = plan.config.sampling, kind_of_time(plan.config.execution.device)
    alone = {name: float(probed["model_calls_per_image_alone"][name]) for name in judged}
    together = probed["model_calls_per_image"] + sampling.images * sampling.steps / pool

    def row(source: str, metric: str, value: float, n: int, ci_method: str = "") -> Row:
        return row_of(plan, cell)(
            kind="cost", source=source, metric=metric, value=value, ci_method=ci_method, n=n, higher_is_better=False
        )

    training = [
        row("train", "training_seconds", trained["seconds"], 1, time),
        row("train", "training_steps", float(trained["steps"]), 1),
        row("train", "training_model_calls", float(trained["model_calls"]), 1),
        row("train", "peak_memory_mib", trained["peak_memory_mib"], 1),
    ]
    return [
        *([] if plan.external else training),
        row("sample", "sampling_seconds", sampled["seconds"], sampling.images, time),
        row("sample", "model_calls_per_image", float(sampled["model_calls_per_image"]), sampling.images),
        row("probe", "probe_seconds", probed["seconds"], pool, time),
        row("probe", "model_calls_per_image", float(probed["model_calls_per_image"]), pool),
        # of a pool image, including the samples that extraction looks at
        *(row(name, "model_calls_per_image", calls, pool) for name, calls in alone.items()),
        row("suite", "model_calls_per_image", together, pool),
        row("suite", "model_calls_per_image_apart", sum(alone.values()), pool),
        *(row(name, "scoring_seconds", load_facts(name, cell, layout)["seconds"], 1, time) for name in judged),
    ]


def _read(path: Path) -> Any:
    return json.loads(path.read_text())
