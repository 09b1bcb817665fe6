"""The loop: plan, train what is missing, attack, measure, report."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console

from leakfront.errors import InputError
from leakfront.harness.execution.devices import check_device
from leakfront.harness.execution.progress import RunProgress, busy_seconds, duration
from leakfront.harness.execution.schedule import execute, has_model, is_diverged, is_done
from leakfront.harness.machine import provenance
from leakfront.harness.plan.external import check_given_model, facts_of
from leakfront.harness.plan.limits import check_sampler, check_threads
from leakfront.harness.plan.plan import CellPlan, Plan, make_plan, notes_on
from leakfront.harness.plan.query_cost import check_signals
from leakfront.harness.plan.workload import querying_work, training_work
from leakfront.harness.pool.pool import Pool
from leakfront.harness.settings.sections import Config
from leakfront.harness.stages.pool import draw_pool, member_share, members_of, store_pool
from leakfront.harness.stages.reference import check_image_counts, check_labels
from leakfront.harness.store.integrity import seal, set_right
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.run_folder import check, claim, locked, resolved
from leakfront.harness.store.temporaries import clear_temporaries
from leakfront.results.metrics import metric_facts

if TYPE_CHECKING:
    from leakfront.harness.execution.ray_cluster import RayCluster


@dataclass(frozen=True)
class Result:
    """How a run ended: the cells whose training diverged, and those that failed with their reasons."""

    diverged: list[str]
    failed: dict[str, str]


def check_everything(config: Config, layout: Layout, cluster: RayCluster | None = None) -> tuple[Plan, Pool]:
    """Plan and pool of a run; raises `InputError` for whatever is wrong with its input, before anything is written.

    On a cluster it is the nodes that must have the cores and GPUs, as `ray_cluster.join` checks.
    """
    plan = make_plan(config)
    if cluster is None:
        check_threads(config.execution)
        check_device(config.execution)
    check(layout, config)
    pool = draw_pool(plan, layout)
    for split in range(config.splits):
        coins = members_of(plan, layout, pool, split)
        members = int(coins.sum())
        if not 2 <= members <= len(pool) - 2:
            raise InputError(
                f"data.pool is {len(pool)}, which leaves split {split} with {members} members and "
                f"{len(pool) - members} decoys; attacks need at least 2 of each, so make the pool larger"
            )
    check_sampler(plan)
    plan.model.check((pool.images.shape[1], pool.images.shape[2], pool.images.shape[3]))
    if plan.model_is_given:
        check_given_model(plan, pool, layout)
    if config.training.batch_size < config.execution.processes:
        raise InputError(
            f"training.batch_size is {config.training.batch_size}; it must not be below execution.processes, "
            f"{config.execution.processes}"
        )
    for point in plan.points:
        for defense in point.stack:
            defense.check(float(pool.copies.sum()) * member_share(plan, coins), config.training.batch_size)
            if config.execution.processes > 1 and defense.one_process:
                raise InputError(
                    f"execution.processes is {config.execution.processes}, but a training step of {defense.name} "
                    "cannot be shared among several; set it to 1"
                )
    for name in plan.judged_by(config.splits - 1):
        if len(pool) < (least := plan.attacks[name].minimum_pool()):
            raise InputError(f"attack {name!r} needs a pool of at least {least} images; data.pool is {len(pool)}")
    check_image_counts(plan, pool)
    check_labels(plan, pool)
    return plan, pool


def run(config: Config, layout: Layout, workers: int, console: Console, cluster: RayCluster | None = None) -> Result:
    """Carry out a benchmark in a folder; whatever is there already and still valid is kept."""
    from leakfront.harness.report import draw_report
    from leakfront.harness.stages.aggregate import write_results

    started = time.monotonic()
    plan, pool = check_everything(config, layout, cluster)
    check_signals(plan, pool.images.shape[1:])
    querying = querying_work(plan, pool.images.shape[1:])
    facts = {"versions": provenance.versions(), "git": provenance.git_state(), "machine": provenance.machine()}
    with locked(layout):
        check(layout, config)  # again, since another process may have come first
        clear_temporaries(layout.root)
        names = [cell.name for cell in plan.cells]
        wrong = set_right(layout, names)
        claim(layout, config, facts)
        store_pool(plan, layout, pool)
        pending = [cell for cell in plan.cells if not has_model(cell, layout)]
        to_train = [cell for cell in pending if not is_done(cell, layout, "prepare", "train")]
        work = {c.name: {"train": training_work(plan, c) if c in to_train else 0.0, **querying} for c in pending}
        where = f" on a {cluster}" if cluster is not None else ""
        again = f", {len(pending) - len(to_train)} to query again" if len(pending) > len(to_train) else ""
        with RunProgress(work, workers, layout.log, console) as progress:
            for sentence in wrong:
                progress.say(sentence)
            models = f"{len(plan.cells)} models ({len(plan.points)} defenses x {config.splits} splits), "
            models = "a given model" if plan.model_is_given else f"{models}{len(to_train)} to train"
            progress.say(
                f"{config.name}: {models}{again}, {workers} workers{where}; results in {layout.root}", session="start"
            )
            for note in notes_on(plan):
                progress.say(f"  {note}")
            failed = execute(plan, layout, workers, cluster, progress)
            clear_temporaries(layout.root)  # of processes and nodes that were lost
            diverged = [c.name for c in plan.cells if c.name not in failed and is_diverged(c, layout)]
            for name in diverged:
                progress.say(f"  {name}: training diverged; the step is in its row, and it has no other results")
            progress.begins("results")
            rows, info = _collect(plan, pool, layout, diverged, failed)
            how = {"wall_seconds": busy_seconds(layout.log), "workers": workers, "cluster": str(cluster or "")}
            write_results(layout, rows, {**info, **facts, **how})
            progress.begins("report")
            page = draw_report([layout], layout.report)
            progress.say(f"done in {duration(time.monotonic() - started)}; the report is {page}")
            seal(layout, names)
    return Result(diverged, failed)


def _collect(
    plan: Plan, pool: Pool, layout: Layout, diverged: Sequence[str], failed: dict[str, str]
) -> tuple[list[Any], dict[str, Any]]:
    """All rows of the run, in the order of the plan, and the facts for run.json."""
    from leakfront.harness.stages.aggregate import over_all_splits
    from leakfront.harness.stages.many_runs import many_run_rows
    from leakfront.harness.stages.measure import cell_rows, diverged_row, failed_row
    from leakfront.harness.stages.reference import reference_rows

    rows = reference_rows(layout)
    measured = []
    for cell in plan.cells:
        if cell.name in failed:
            rows.append(failed_row(plan, cell))
        elif cell.name in diverged:
            rows.append(diverged_row(plan, cell, layout))
        else:
            rows += cell_rows(plan, cell, layout)
            measured.append(cell)
    config = plan.config
    rows += over_all_splits(rows, config.statistics.audit_delta, len(plan.attacks))
    for point in plan.points:
        rows += many_run_rows(plan, [cell for cell in measured if cell.point is point], layout, pool)
    info = {
        "name": config.name,
        "title": config.title or config.name,
        "suite": plan.suite,
        "attacks": list(plan.attacks),
        "attack_facts": {
            label: {"attack": a.name, "access": a.access, "shadows": a.shadows, "extracts": a.extracts,
                    "note": plan.note(label, config.splits - 1)}
            for label, a in plan.attacks.items()
        },
        "attack_notes": notes_on(plan),
        "metric_facts": metric_facts(plan.metrics, plan.features),
        "config": resolved(config),
        "seed": config.seed,
        "splits": config.splits,
        "threads": config.execution.threads,
        "pool": "pool/pool.safetensors",
        "dataset": {
            "name": config.data.dataset, "checksum": pool.checksum, "pool": len(pool), **facts_of(plan, pool),
            "planted_groups": int((pool.copies > 1).sum()), "copies": int(pool.copies.max()),
            "copy_kind": config.data.duplicates.kind, "reference": len(pool.reference_images),
            "extractor": len(pool.extractor_images), "duplicates_dropped": pool.duplicates_dropped,
            "skipped": pool.skipped, "image_shape": list(pool.images.shape[1:]),
        },
        "samples_per_model": config.sampling.images,
        "features": plan.features,
        "model": plan.model.name,
        **({"given_model": plan.model.version()} if plan.model_is_given else {}),
        "lines": list(dict.fromkeys(point.line for point in plan.points)),
        "cells": [
            {"name": c.name, "defense": c.point.line, "params": c.point.params, "split": str(c.split),
             "folder": f"cells/{c.name}"}
            for c in measured
        ],
        "guarantees": {p.label: _guarantee(p.label, measured, layout) for p in plan.points},
        "covers": {p.label: "; ".join(dict.fromkeys(d.covers for d in p.stack)) for p in plan.points},
        "acts_on": {p.label: [d.acts_on for d in p.stack] for p in plan.points},
        "diverged": list(diverged),
        "failed": failed,
    }  # fmt: skip
    return rows, info


def _guarantee(label: str, measured: Sequence[CellPlan], layout: Layout) -> dict[str, Any] | None:
    """The guarantee of a defense: that of its splits with the largest epsilon."""
    found = []
    for cell in measured:
        if cell.point.label == label:
            facts = json.loads((layout.stage(cell.name, "train") / "train.json").read_text())
            found += [facts["guarantee"]] if facts["guarantee"] else []
    return max(found, key=lambda g: g["epsilon"]) if found else None
