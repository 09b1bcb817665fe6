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
from leakfront.results.run.rows import Row
from leakfront.results.statistics.counts import clopper_pearson, excess_interval, extracted_at_fdr, extracted_interval
from leakfront.results.statistics.one_run import OneRun
from leakfront.results.statistics.roc import auc_interval, tpr_interval
from leakfront.results.statistics.set_test import set_power
from leakfront.seeds import derive_seed

FPRS = (0.1, 0.01, 0.001)


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
            reason = plan.note(name, len(shadows))
            rows.append(row_of(plan, cell)("privacy", name, "left_out", float(len(shadows)), ci_method=reason))
            continue
        scores = load_scores(name, cell, layout)
        rows += _membership_rows(plan, cell, name, scores["score"], members, pool)
        if attack.extracts:
            rows += _extraction_rows(plan, cell, name, scores, members, pool)
            past = {k.removeprefix(WITH_WEIGHTS): v for k, v in scores.items() if k.startswith(WITH_WEIGHTS)}
            if past:
                again = _extraction_rows(plan, cell, name, past, members, pool)
                rows += [replace(row, metric=f"{row.metric}_with_weights") for row in again]
        rows += _set_rows(plan, cell, name, attack.set_sizes(), scores["score"], members)
    if plan.known_membership:
        rows.append(row_of(plan, cell)("privacy", "one_run_audit", "left_out", 0.0, ci_method=NO_AUDIT))
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
    return row_of(plan, cell)("utility", "train", "diverged", float(step), n=1)


def failed_row(plan: Plan, cell: CellPlan) -> Row:
    """The one row of a cell that could not be finished."""
    return row_of(plan, cell)("utility", "run", "failed", 1.0, n=1)


def audit_method(correct: int, guesses: int, attacks: int) -> str:
    """How a bound of the one-run audit was made, for its row."""
    return f"one-run audit, {correct} of {guesses} guesses right, corrected for {attacks} attacks"


def row_of(plan: Plan, cell: CellPlan, split: str = "") -> Callable[..., Row]:
    """A row of a cell, or of all splits of its defense; lacks what comes after `split`."""
    return partial(
        Row, plan.config.name, "" if split else cell.name, plan.config.data.dataset, plan.model.name, cell.point.line,
        cell.point.params, split or str(cell.split),
    )  # fmt: skip


def _membership_rows(
    plan: Plan, cell: CellPlan, attack: str, score: np.ndarray, members: np.ndarray, pool: Pool
) -> list[Row]:
    """AUC, TPR at low FPR, and the one-run audit's bound on epsilon."""
    row, seed = row_of(plan, cell), derive_seed(plan.config.seed, "intervals", attack, cell.split)
    value, low, high, method = auc_interval(score, members, seed)
    rows = [row("privacy", attack, "auc", value, low, high, method, len(score), False)]
    for fpr in FPRS:
        value, low, high, method = tpr_interval(score, members, fpr, seed)
        rows.append(row("privacy", attack, f"tpr_at_fpr_{fpr}", value, low, high, method, int(members.sum()), False))
    if plan.config.data.coin == 0.5 and not plan.known_membership:  # the audit's bound is for fair coins
        rows += _audit_rows(plan, cell, attack, score, members, pool)
    return rows


def _audit_rows(
    plan: Plan, cell: CellPlan, attack: str, score: np.ndarray, members: np.ndarray, pool: Pool
) -> list[Row]:
    """The one-run audit's bound on epsilon, from the images that were not planted more than once."""
    row, statistics = row_of(plan, cell), plan.config.statistics
    audit = OneRun(guesses=statistics.audit_guesses, delta=statistics.audit_delta)
    bound = audit.bound(score, members, pool.copies == 1, corrections=len(plan.attacks))
    method, lowest = audit_method(bound.correct, bound.guesses, len(plan.attacks)), bound.epsilon
    return [
        row("privacy", attack, "epsilon_lower_bound", lowest, lowest, math.inf, method, bound.coins, False),
        row("privacy", attack, "epsilon_lower_bound_ceiling", bound.ceiling, n=bound.coins),
        row("privacy", attack, "audit_guesses_right", float(bound.correct), n=bound.guesses),
    ]


def _extraction_rows(
    plan: Plan, cell: CellPlan, attack: str, scores: dict[str, np.ndarray], members: np.ndarray, pool: Pool
) -> list[Row]:
    """Unique images extracted at the false-discovery rate, and under the attack's fixed rules."""
    row, config = row_of(plan, cell), plan.config
    rate, n_members, n_decoys = config.statistics.false_discovery_rate, int(members.sum()), int((~members).sum())
    share = member_share(plan, members)
    extracted = extracted_at_fdr(scores["score"], members, rate, share)
    planted, unique = members & (pool.copies > 1), members & (pool.copies == 1)
    rows = []
    for name, among in (("extracted", members), ("planted_extracted", planted), ("unique_extracted", unique)):
        found, most, n = (int(mask.sum()) for mask in (extracted.mask & among, extracted.possible & among, among))
        low, high = extracted_interval(extracted, among)
        method = (
            f"Clopper-Pearson, the upper end for {most}, the count without the rate's + 1; at least "
            f"{math.ceil(share / (1 - share) / rate)} can be reported"
        )
        rows.append(row("privacy", attack, f"{name}_at_fdr_{rate:g}", float(found), low, high, method, n, False))
    rows.append(row("privacy", attack, "members_before_decoys", float(extracted.before_decoys), n=n_members,
                    higher_is_better=False))  # fmt: skip
    rows.append(row("privacy", attack, f"decoys_matched_at_fdr_{rate:g}", float(extracted.decoys_matched), n=n_decoys))
    if math.isfinite(extracted.threshold):
        rows.append(row("privacy", attack, f"threshold_at_fdr_{rate:g}", extracted.threshold, n=len(members)))
    for rule in (name.removeprefix("matched_") for name in sorted(scores) if name.startswith("matched_")):
        matched = scores[f"matched_{rule}"].astype(bool)
        true, false = int((matched & members).sum()), int((matched & ~members).sum())
        excess, low, high = excess_interval(true, n_members, false, n_decoys)
        rows.append(row("privacy", attack, f"members_{rule}", float(true), n=n_members, higher_is_better=False))
        rows.append(row("privacy", attack, f"decoys_{rule}", float(false), n=n_decoys))
        method = "two Clopper-Pearson intervals at 97.5%"
        rows.append(row("privacy", attack, f"excess_{rule}", excess, low, high, method, n_members, False))
        if true + false:
            lowest, highest = clopper_pearson(true, true + false)
            rows.append(row("privacy", attack, f"precision_{rule}", true / (true + false), lowest, highest,
                            "Clopper-Pearson", true + false, False))  # fmt: skip
    return rows


def _set_rows(
    plan: Plan, cell: CellPlan, attack: str, sizes: Sequence[int], score: np.ndarray, members: np.ndarray
) -> list[Row]:
    """How surely the attack tells a set of members from images that were not trained on, by the size of the set."""
    row, seed, rows = row_of(plan, cell), derive_seed(plan.config.seed, "sets", attack, cell.split), []
    for size in sizes:
        if size > min(int(members.sum()), int((~members).sum())) // 2:
            continue
        for kind, tested in (("members", set_power(score, members, size, seed)),
                             ("decoys", set_power(score, members, size, seed, of_decoys=True))):  # fmt: skip
            rows.append(row("privacy", attack, f"set_p_value_{kind}_{size}", tested.median_p, tested.quartiles[0],
                            tested.quartiles[1], "median and quartiles over random sets, Welch's t test",
                            tested.sets))  # fmt: skip
            rows.append(row("privacy", attack, f"set_detected_{kind}_{size}", tested.detected, ci_method=
                            "share of random sets with p < 0.05, Welch's t test", n=tested.sets,
                            higher_is_better=False))  # fmt: skip
    return rows


def _reports_of_defenses(plan: Plan, cell: CellPlan, layout: Layout) -> list[Row]:
    """What the defenses measured of themselves: duplicates removed, epsilon spent, …"""
    row = row_of(plan, cell)
    trained = load_training(cell, layout)
    by_place = {defense.acts_on: defense.name for defense in cell.point.stack}
    rows = [
        row("privacy", by_place.get("data", "prepare"), name, value, n=trained["training_images"])
        for name, value in load_notes(cell, layout).items()
    ]
    rows += [
        row("privacy", by_place.get("training", "train"), name, value, n=trained["training_images"])
        for name, value in trained["report"].items()
    ]
    claim = trained["guarantee"] or {}
    if claim.get("group_epsilon") is not None:  # for all copies of one image together
        rows.append(row("privacy", by_place["training"], "group_epsilon", claim["group_epsilon"], n=claim["group"]))
    return rows


def _cost_rows(plan: Plan, cell: CellPlan, judged: Sequence[str], layout: Layout, pool: int) -> list[Row]:
    """What training, sampling, probing and scoring took; of a given model nobody here knows what training took."""
    row = partial(row_of(plan, cell), "cost", ci_method="", higher_is_better=False)
    timed = partial(row, ci_method=kind_of_time(plan.config.execution.device))
    trained = load_training(cell, layout)
    sampled = _read(layout.stage(cell.name, "sample") / "sample.json")
    probed = _read(layout.stage(cell.name, "probe") / "probe.json")
    sampling = plan.config.sampling
    sampled_calls = sampling.images * sampling.steps / pool
    alone = {name: float(probed["model_calls_per_image_alone"][name]) for name in judged}
    training = [
        timed("train", "training_seconds", trained["seconds"], n=1),
        row("train", "training_steps", float(trained["steps"]), n=1),
        row("train", "training_model_calls", float(trained["model_calls"]), n=1),
        row("train", "peak_memory_mib", trained["peak_memory_mib"], n=1),
    ]
    return [
        *([] if plan.external else training),
        timed("sample", "sampling_seconds", sampled["seconds"], n=plan.config.sampling.images),
        row("sample", "model_calls_per_image", float(sampled["model_calls_per_image"]), n=plan.config.sampling.images),
        timed("probe", "probe_seconds", probed["seconds"], n=pool),
        row("probe", "model_calls_per_image", float(probed["model_calls_per_image"]), n=pool),
        # of a pool image, the samples that extraction looks at included
        *(row(name, "model_calls_per_image", calls, n=pool) for name, calls in alone.items()),
        row("suite", "model_calls_per_image", probed["model_calls_per_image"] + sampled_calls, n=pool),
        row("suite", "model_calls_per_image_apart", sum(alone.values()), n=pool),
        *(timed(name, "scoring_seconds", load_facts(name, cell, layout)["seconds"], n=1) for name in judged),
    ]


def _read(path: Path) -> Any:
    return json.loads(path.read_text())
