"""From scores, coins and samples to all rows of a cell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from leakfront.harness.plan.external import NO_AUDIT
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.settings.places import shortened
from leakfront.harness.stages.attack import WITH_WEIGHTS, load_scores
from leakfront.harness.stages.clique_rows import clique_rows
from leakfront.harness.stages.control_rows import control_rows
from leakfront.harness.stages.copy_rows import copy_rows
from leakfront.harness.stages.cost_rows import cost_rows, reports_of_defenses
from leakfront.harness.stages.distance_rows import copies_row, distance_rows, memorized_row
from leakfront.harness.stages.extractor import reference_set
from leakfront.harness.stages.features import sample_set
from leakfront.harness.stages.gap_rows import loss_gap_rows
from leakfront.harness.stages.halves import HALVES, halves_rows
from leakfront.harness.stages.prepare import load_members, load_prepared
from leakfront.harness.stages.privacy_rows import extraction_rows, left_out, membership_rows, planted_rows, set_rows
from leakfront.harness.stages.probed import load_signals
from leakfront.harness.stages.reference import utility_rows
from leakfront.harness.stages.sample import load_samples
from leakfront.harness.stages.stage import Files, Stage, Subject, Work
from leakfront.harness.stages.stored_json import read_stored_rows
from leakfront.harness.stages.train import load_facts as load_training
from leakfront.harness.store.code_keys import with_imports
from leakfront.harness.store.layout import Layout
from leakfront.results.run.rows import WITH_WEIGHTS as OF_WEIGHTS
from leakfront.results.run.rows import Row
from leakfront.results.statistics.subjects import Subjects

# the code of the rows that known membership adds
CONTROLS = (
    "leakfront.harness.stages.control_rows", "leakfront.attacks.controls.content",
    "leakfront.attacks.controls.cross_fit",
)  # fmt: skip


def _settings(subject: Subject) -> list[Any]:
    config, cell = subject.plan.config, subject.cell
    named = [config.name, subject.plan.model.label, cell.name, cell.point.line, cell.point.params]  # in every row
    # where the files lie does not matter, and the labels that models are told decide the prepare stage
    data = shortened({"data": config.data.model_dump(exclude={"labels"})})["data"]
    return [config.statistics.model_dump(), named, data, list(subject.plan.attacks), len(subject.shadows)]


def _code(subject: Subject) -> list[str]:
    names = ("cell", "privacy", "audit", "cost", "copy", "clique", "distance", "gap")
    makers = [f"leakfront.harness.stages.{name}_rows" for name in names]
    controls = [*CONTROLS, "leakfront.results.statistics.halves"] if subject.plan.known_membership else []
    return [*(name for maker in makers for name in with_imports(maker)), *controls]


def _run(work: Work) -> Files:
    """All rows of a cell that was attacked with these shadow models."""
    plan, cell, layout, pool, shadows = work.plan, work.cell, work.layout, work.pool, work.shadows
    of_images = load_members(cell, layout)
    subjects = subjects_of(plan, pool, of_images)
    members = of_images if subjects is None else subjects.of_members
    copies = pool.copies if subjects is None else np.ones(len(members), dtype=np.int64)
    private = load_training(cell, layout)["guarantee"] is not None
    judged, rows = plan.judged_by(len(shadows)), []
    for name, attack in plan.attacks.items():
        if name not in judged:
            rows.append(left_out(plan, cell, name, float(len(shadows)), plan.note(name, len(shadows))))
            continue
        scores = load_scores(name, cell, layout)
        scores = scores if subjects is None else subjects.arrays(scores)
        rows += membership_rows(plan, cell, name, scores["score"], members, copies, private)
        if attack.of_captions:
            rows += planted_rows(plan, cell, name, scores["score"], members, copies)
        rows += copy_rows(plan, cell, name, scores, members, copies)
        if attack.extracts:
            rows += _finds(plan, cell, name, scores, members, pool, copies)
        past = {k.removeprefix(WITH_WEIGHTS): v for k, v in scores.items() if k.startswith(WITH_WEIGHTS)}
        if past:
            again = _finds(plan, cell, name, past, members, pool, copies) if attack.extracts else []
            if any(generation.served for generation in attack.generations()):
                again += [row for row in membership_rows(plan, cell, name, past["score"], members, copies, private)
                          if row.metric in ("auc", "tpr_at_fpr")]  # fmt: skip
            rows += [replace(row, metric=f"{row.metric}{OF_WEIGHTS}") for row in again]
        rows += loss_gap_rows(plan, cell, name, load_signals(cell, layout), of_images, pool.subjects)
        rows += set_rows(plan, cell, name, attack.set_sizes(), scores["score"], members)
    if plan.known_membership:
        rows.append(left_out(plan, cell, "one_run_audit", 0.0, NO_AUDIT))
        rows += control_rows(plan, cell, layout, pool, of_images)
    samples = load_samples(cell, layout)
    rows += distance_rows(plan, cell, pool, samples, of_images)
    rows += memorized_row(plan, cell, load_prepared(cell, layout)[0].images, samples)
    rows += halves_rows(plan, cell, layout)
    generated, real = sample_set(cell, layout), reference_set(layout, pool)
    rows += utility_rows(plan, generated, real, cell.name, cell.point.line, cell.point.params, str(cell.split))
    rows += reports_of_defenses(plan, cell, layout)
    rows += cost_rows(plan, cell, judged, layout, pool)
    return {"rows.json": [vars(row) for row in rows]}


def _finds(
    plan: Plan, cell: CellPlan, attack: str, scores: dict[str, np.ndarray], members: np.ndarray, pool: Pool,
    copies: np.ndarray,
) -> list[Row]:  # fmt: skip
    """The rows of extraction, of copies, and, but for subjects, of cliques that are looked for by caption."""
    rows = extraction_rows(plan, cell, attack, scores, members, copies)
    rows += copies_row(plan, cell, attack, scores, members)
    return rows + (clique_rows(plan, cell, attack, scores, members, pool) if "clique_shows" in scores else [])


def subjects_of(plan: Plan, pool: Pool, members: np.ndarray) -> Subjects | None:
    """The subjects that counts are of; None if every image stands alone. members: bool [P]."""
    if pool.subjects is None:
        return None
    return Subjects.judged(np.asarray(pool.subjects), members, matched=plan.known_membership)


MEASURE = Stage(
    "measure", "cell", inputs=("attack", "prepare", "train", "sample", "features", "probe", "reference"),
    settings=_settings, code=_code, run=_run, also=lambda plan: [HALVES.name] if HALVES.needed(plan) else [],
)  # fmt: skip


def cell_rows(cell: CellPlan, layout: Layout) -> list[Row]:
    """The rows of a measured cell."""
    return read_stored_rows(layout.stage(cell.name, MEASURE.name) / "rows.json")
