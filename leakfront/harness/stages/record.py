"""The record of a finished run: all of its rows, and the facts that tables, figures and readers need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from leakfront.attacks.suites import V2
from leakfront.harness.plan.make import in_front, notes_on
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.plan.trainings import stopped_early
from leakfront.harness.pool.near_copies import near_copies
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.aggregate import over_all_splits
from leakfront.harness.stages.cell_rows import diverged_row, failed_row
from leakfront.harness.stages.given_samples import given_notes
from leakfront.harness.stages.guarantees import facts_of_privacy
from leakfront.harness.stages.many_runs import many_run_rows
from leakfront.harness.stages.measure import cell_rows
from leakfront.harness.stages.reference import reference_rows
from leakfront.harness.stages.sample import load_samples
from leakfront.harness.stages.train import load_facts as load_training
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.run_folder import resolved
from leakfront.results.metrics import metric_facts


def collect(
    plan: Plan, pool: Pool, layout: Layout, diverged: Sequence[str], failed: dict[str, str]
) -> tuple[list[Any], dict[str, Any]]:
    """All rows of the run, in the order of the plan, and the facts for run.json."""
    rows = reference_rows(layout)
    measured = []
    for cell in plan.cells:
        if cell.name in failed:
            rows.append(failed_row(plan, cell))
        elif cell.name in diverged:
            rows.append(diverged_row(plan, cell, layout))
        else:
            rows += cell_rows(cell, layout)
            measured.append(cell)
    config = plan.config
    fitted = [label for label, attack in plan.attacks.items() if attack.uses_shadows]
    rows += over_all_splits(rows, config.statistics.audit_delta, len(plan.attacks), fitted)
    for point in plan.points:
        rows += many_run_rows(plan, [cell for cell in measured if cell.point is point], layout, pool)
    info = {
        "name": config.name,
        "title": config.title or config.name,
        "suite": plan.suite,
        "attacks": list(plan.attacks),
        "attack_facts": {
            label: {"attack": a.name, "access": a.access, "shadows": a.shadow_use, "extracts": a.extracts,
                    "note": plan.note(label, config.splits - 1)}
            for label, a in plan.attacks.items()
        },
        "in_front": in_front(plan),
        "not_in_suite": [label for label in V2 if label not in plan.attacks],
        "attack_notes": [*notes_on(plan), *given_notes(plan, layout)],
        "metric_facts": metric_facts(plan.metrics, plan.features),
        "config": resolved(config),
        "seed": config.seed,
        "splits": config.splits,
        "threads": config.execution.threads,
        "pool": "pool/pool.safetensors",
        "dataset": {
            "name": plan.data_name, "checksum": pool.checksum, "pool": len(pool), **facts_of(plan, pool),
            "planted_groups": int((pool.copies > 1).sum()), "copies": int(pool.copies.max()),
            "copy_kind": config.data.duplicates.kind, "reference": len(pool.reference_images),
            "extractor": len(pool.extractor_images), "duplicates_dropped": pool.duplicates_dropped,
            "skipped": pool.skipped, "image_shape": list(pool.images.shape[1:]),
        },
        "near_copies": len(np.unique((pool.near or near_copies(pool.images)).pairs)),
        "classes": list(pool.classes) if len(pool.classes) > 1 else [],
        "data_notes": list(pool.notes),
        "samples_per_model": _samples(plan, layout),
        "features": plan.features,
        "model": plan.model.label,
        **({"external_model": _external(plan, measured, layout)} if plan.external else {}),
        "lines": list(dict.fromkeys(point.line for point in plan.points)),
        "cells": [
            {"name": c.name, "defense": c.point.line, "params": c.point.params, "split": str(c.split),
             "folder": f"cells/{c.name}"}
            for c in measured
        ],
        **facts_of_privacy(plan, measured, layout, pool),
        "covers": {p.label: "; ".join(dict.fromkeys(d.covers for d in p.stack)) for p in plan.points},
        "acts_on": {p.label: [d.acts_on for d in p.stack] for p in plan.points},
        "stops_short_of": stopped_early(plan),
        "diverged": list(diverged),
        "failed": failed,
    }  # fmt: skip
    return rows, info


def _samples(plan: Plan, layout: Layout) -> int:
    """The images of each model; of given ones those that could be read."""
    return plan.config.sampling.images if plan.generated is None else len(load_samples(plan.cells[0], layout))


def _external(plan: Plan, measured: Sequence[CellPlan], layout: Layout) -> dict[str, Any]:
    """The facts about an external model: its name, its files, how they were read, and whether that is plausible."""
    read = {"read": "; ".join(plan.model.notes())} if plan.model.notes() else {}
    if not plan.has_model:
        return {"name": plan.model.label, "images_alone": _samples(plan, layout)}
    facts = {"name": plan.model.label, **plan.model.version(), **read}
    for cell in measured:  # an external model is one cell
        facts["plausibility"] = load_training(cell, layout)["plausibility"]
    return facts


def facts_of(plan: Plan, pool: Pool) -> dict[str, Any]:
    """How members were chosen: the coin's probability, or the number of members that the data set states."""
    if not plan.known_membership or pool.membership is None:
        return {"coin": plan.config.data.coin, **_subjects(pool)}
    return {"membership": "known", "members": int(pool.membership.sum()), **_subjects(pool)}


def _subjects(pool: Pool) -> dict[str, Any]:
    """The unit of counts and guarantees, if it is not the image: subjects, their number, and images of the largest."""
    if pool.subjects is None:
        return {}
    sizes = np.bincount(pool.subjects)
    return {"unit": "subject", "subjects": len(sizes), "images_per_subject": int(sizes.max())}
