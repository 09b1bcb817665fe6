"""The loop: plan, train what is missing, attack, measure, report."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from leakfront import provenance
from leakfront.config import Config
from leakfront.errors import InputError
from leakfront.execution import Workers
from leakfront.layout import Layout
from leakfront.plan import CellPlan, Plan, make_plan
from leakfront.pool import Pool, flip_coins
from leakfront.progress import RunProgress, duration
from leakfront.run_folder import check, claim, locked, resolved
from leakfront.stages.pool import draw_pool, pool_settings, store_pool
from leakfront.stages.reference import check_image_counts
from leakfront.store import clear_temporaries, stored_key
from leakfront.worker import Task
from leakfront.workload import cell_work


@dataclass(frozen=True)
class Result:
    """How a run ended: the cells whose training diverged, and those that failed with their reasons."""

    diverged: list[str]
    failed: dict[str, str]


def default_workers(config: Config) -> int:
    """As many worker processes as the cores carry, with the config's threads each; one on a GPU."""
    if config.execution.device != "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // config.execution.threads)


def check_everything(config: Config, layout: Layout) -> tuple[Plan, Pool]:
    """Plan and pool of a run; raises `InputError` for whatever is wrong with its input, before anything is written."""
    plan = make_plan(config)
    check(layout, config)
    pool = draw_pool(plan, layout)
    for split in range(config.splits):
        members = int(flip_coins(pool, pool_settings(plan), config.seed, split).sum())
        if not 2 <= members <= len(pool) - 2:
            raise InputError(
                f"data.pool is {len(pool)}, which leaves split {split} with {members} members and "
                f"{len(pool) - members} decoys; attacks need at least 2 of each, so make the pool larger"
            )
    plan.model.check((pool.images.shape[1], pool.images.shape[2], pool.images.shape[3]))
    for point in plan.points:
        for defense in point.stack:
            defense.check(float(pool.copies.sum()) * config.data.coin, config.training.batch_size)
    for name, attack in plan.attacks.items():
        if len(pool) < attack.minimum_pool():
            raise InputError(
                f"attack {name!r} needs a pool of at least {attack.minimum_pool()} images; data.pool is {len(pool)}"
            )
    check_image_counts(plan, pool)
    return plan, pool


def has_model(cell: CellPlan, layout: Layout) -> bool:
    """Whether nothing is left to train, sample or probe, be it that training diverged."""
    trained = all(stored_key(layout.stage(cell.name, s)) == cell.keys[s] for s in ("prepare", "train"))
    if trained and is_diverged(cell, layout):
        return True
    return trained and all(stored_key(layout.stage(cell.name, s)) == cell.keys[s] for s in ("sample", "probe"))


def is_diverged(cell: CellPlan, layout: Layout) -> bool:
    """Whether the cell's training ended at a value that is not finite."""
    facts = json.loads((layout.stage(cell.name, "train") / "train.json").read_text())
    return facts["diverged"] is not None


def run(config: Config, layout: Layout, workers: int, console: Console) -> Result:
    """Carry out a benchmark in a folder; whatever is there already and still valid is kept."""
    from leakfront.stages.aggregate import write_results

    started = time.monotonic()
    plan, pool = check_everything(config, layout)
    facts = {"versions": provenance.versions(), "git": provenance.git_state(), "machine": provenance.machine()}
    with locked(layout):
        clear_temporaries(layout.root)
        claim(layout, config, facts)
        store_pool(plan, layout, pool)
        pending = [cell for cell in plan.cells if not has_model(cell, layout)]
        work = {cell.name: cell_work(plan, cell) for cell in pending}
        with RunProgress(work, workers, layout.log, console) as progress:
            progress.say(
                f"{config.name}: {len(plan.cells)} models ({len(plan.points)} defenses x {config.splits} splits), "
                f"{len(pending)} to train, {workers} workers; results in {layout.root}"
            )
            failed = _execute(plan, layout, workers, pending, progress)
            diverged = [c.name for c in plan.cells if c.name not in failed and is_diverged(c, layout)]
            for name in diverged:
                progress.say(f"  {name}: training diverged; the step is in its row, and it has no other results")
            rows, info = _collect(plan, pool, layout, diverged, failed)
            write_results(layout, rows, {**info, **facts, "workers": workers})
            page = _report(layout)
            progress.say(f"done in {duration(time.monotonic() - started)}; the report is {page}")
    return Result(diverged, failed)


def _execute(
    plan: Plan, layout: Layout, workers: int, pending: Sequence[CellPlan], progress: RunProgress
) -> dict[str, str]:
    """Run all tasks that are not done; returns the cells that failed, with their reasons."""
    failed: dict[str, str] = {}
    waiting = {cell.name for cell in pending}
    settings = plan.config.model_dump_json()

    def task(kind: Any, cell: str = "", shadows: Sequence[str] = ()) -> Task:
        return Task(kind, layout.root, settings, cell, tuple(shadows))

    def usable(cell: CellPlan) -> bool:
        return cell.name not in failed and not is_diverged(cell, layout)

    def measure_tasks(group: Sequence[CellPlan]) -> list[Task]:
        alive = [cell for cell in group if usable(cell)]
        tasks = []
        for cell in alive:
            shadows = [other for other in alive if other is not cell]
            keys = [plan.attack_key(name, cell, shadows) for name in plan.attacks]
            if stored_key(layout.stage(cell.name, "measure")) != plan.measure_key(keys, cell):
                tasks.append(task("measure", cell.name, [other.name for other in shadows]))
        return tasks

    groups = [[cell for cell in plan.cells if cell.point is point] for point in plan.points]
    reference_done = stored_key(layout.reference) == plan.reference_key
    ready = [t for group in groups if not waiting & {c.name for c in group} for t in measure_tasks(group)]
    if not pending and not ready and reference_done:
        return failed
    with Workers(min(workers, len(pending) + len(ready) + 1), plan.config.execution.threads, progress.event) as pool:
        if not reference_done:
            pool.submit(task("reference"))
        work = {cell.name: sum(cell_work(plan, cell).values()) for cell in pending}
        for cell in sorted(pending, key=lambda c: -work[c.name]):  # the longest first, so that no core waits at the end
            pool.submit(task("model", cell.name))
        if reference_done:
            for ready_task in ready:
                pool.submit(ready_task)
            ready = []
        for outcome in pool.outcomes():
            done = outcome.task
            if isinstance(outcome.error, InputError):
                raise outcome.error
            if done.kind == "reference":
                if outcome.error is not None:
                    raise outcome.error
                reference_done = True
            elif outcome.error is not None:
                failed[done.cell] = f"{type(outcome.error).__name__}: {outcome.error}"
                traceback = str(outcome.error.__cause__ or "")  # of the worker, for the log
                progress.say(f"  {done.cell} failed: {failed[done.cell]}", traceback=traceback)
            if done.kind == "model":
                waiting.discard(done.cell)
                if outcome.error is None:
                    progress.finished(done.cell)
                group = next(g for g in groups if any(c.name == done.cell for c in g))
                if not waiting & {c.name for c in group}:
                    ready += measure_tasks(group)
            if reference_done:
                for ready_task in ready:
                    pool.submit(ready_task)
                ready = []
    return failed


def _collect(
    plan: Plan, pool: Pool, layout: Layout, diverged: Sequence[str], failed: dict[str, str]
) -> tuple[list[Any], dict[str, Any]]:
    """All rows of the run, in the order of the plan, and the facts for run.json."""
    from leakfront.stages.aggregate import over_all_splits
    from leakfront.stages.measure import cell_rows, diverged_row, failed_row
    from leakfront.stages.reference import reference_rows

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
    info = {
        "name": config.name,
        "title": config.title or config.name,
        "suite": config.suite,
        "attacks": list(plan.attacks),
        "config": resolved(config),
        "seed": config.seed,
        "splits": config.splits,
        "threads": config.execution.threads,
        "pool": "pool/pool.safetensors",
        "dataset": {
            "name": config.data.dataset, "checksum": pool.checksum, "pool": len(pool), "coin": config.data.coin,
            "planted_groups": int((pool.copies > 1).sum()), "copies": int(pool.copies.max()),
            "copy_kind": config.data.duplicates.kind, "reference": len(pool.reference_images),
            "extractor": len(pool.extractor_images), "duplicates_dropped": pool.duplicates_dropped,
            "skipped": pool.skipped, "image_shape": list(pool.images.shape[1:]),
        },
        "samples_per_model": config.sampling.images,
        "features": plan.extractor.name,
        "model": plan.model.name,
        "lines": list(dict.fromkeys(point.line for point in plan.points)),
        "cells": [
            {"name": c.name, "defense": c.point.line, "params": c.point.params, "split": str(c.split),
             "folder": f"cells/{c.name}"}
            for c in measured
        ],
        "guarantees": {p.label: _guarantee(p.label, measured, layout) for p in plan.points},
        "covers": {p.label: "; ".join(dict.fromkeys(d.covers for d in p.stack)) for p in plan.points},
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


def _report(layout: Layout) -> str:
    """Draw the report, unless the rows and the code that draws it are those of the last one."""
    from leakfront.report import draw_report

    return str(draw_report([layout], layout.report))
