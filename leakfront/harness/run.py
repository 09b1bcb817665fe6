"""Carry out a benchmark: plan, train missing models, attack, measure, report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.console import Console

from leakfront.harness.checks import check_everything
from leakfront.harness.execution.progress import RunProgress, busy_seconds, duration
from leakfront.harness.execution.schedule import execute, has_model, to_train, work_left
from leakfront.harness.machine import provenance
from leakfront.harness.plan.make import notes_on
from leakfront.harness.plan.packages import packages_of
from leakfront.harness.plan.plan import Plan
from leakfront.harness.plan.query_cost import check_signals
from leakfront.harness.pool.data_files import record
from leakfront.harness.pool.pool import APART
from leakfront.harness.settings.scrubbed import Scrubber
from leakfront.harness.settings.sections import Config
from leakfront.harness.stages import POOL, TRAIN
from leakfront.harness.stages.given_samples import given_notes
from leakfront.harness.stages.guarantees import is_begun
from leakfront.harness.stages.pool import stored_pool
from leakfront.harness.stages.stage import Work, perform
from leakfront.harness.stages.train import is_diverged, is_private
from leakfront.harness.store.integrity import remove_damaged, seal
from leakfront.harness.store.layout import Layout, model_names
from leakfront.harness.store.run_folder import check_compatible, locked, paths_of, write_config
from leakfront.harness.store.secret import make_secret
from leakfront.harness.store.temporaries import clear_temporaries
from leakfront.harness.take_over import take_over

if TYPE_CHECKING:
    from leakfront.harness.execution.ray_cluster import RayCluster


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the cells whose training diverged, and the failed cells with their reasons."""

    diverged: list[str]
    failed: dict[str, str]


def run(
    config: Config,
    layout: Layout,
    workers: int,
    console: Console,
    cluster: RayCluster | None = None,
    report: bool = True,
    others: Sequence[Layout] = (),
) -> Outcome:
    """Carry out a benchmark in a folder; stored artifacts that are still valid are kept.

    workers: processes on this machine, 0 for this process; with a cluster, its number of slots. report: whether to
    draw the report. others: runs whose finished artifacts are taken over where the keys agree. Raises `InputError` for
    wrong input, and `StageError` if a stage of the whole run fails.
    """
    from leakfront.harness.decision import write_decision
    from leakfront.harness.report import check_place, draw_report
    from leakfront.harness.stages.aggregate import write_results
    from leakfront.harness.stages.made import ways_of
    from leakfront.harness.stages.record import collect
    from leakfront.results.run.made import differing_machines

    started = time.monotonic()
    plan, pool = check_everything(config, layout, cluster)
    check_signals(plan, pool.images.shape[1:])
    if report:
        check_place(layout.report)
    plugins = packages_of(plan)
    session = {"versions": provenance.versions(), "git": provenance.git_state(), "machine": provenance.machine()}
    with locked(layout):
        check_compatible(layout, config)  # again: another process may have used the folder in the meantime
        clear_temporaries(layout.root)
        cells = [cell.name for cell in plan.cells]
        models = model_names(cell.keys[TRAIN.name] for cell in plan.cells)
        damaged = remove_damaged(layout, cells, models)
        write_config(layout, config, {**session, "plugins": plugins})
        record(plan.data, layout)
        if private := [cell for cell in plan.cells if is_private(cell.point.stack)]:
            make_secret(layout, config.privacy_seed, begun=any(is_begun(cell, layout) for cell in private))
        taken = take_over(plan, layout, others)
        made = provenance.made_by(config.execution.threads)  # on no GPU, which workers alone use
        perform(POOL, Work(plan=plan, layout=layout, pool=pool), plan.keys[POOL.name], made)
        apart = {name: getattr(pool, name) for name in APART}
        pool = replace(stored_pool(layout, check=False), **apart)  # mapped
        scrubber = Scrubber.of(paths_of(config), layout.root)
        with RunProgress(work_left(plan, pool, layout), layout.log, console, scrubber) as progress:
            for sentence in damaged:
                progress.say(sentence)
            progress.say(_opening(plan, layout, workers, str(cluster or "")), session="start")
            if taken:
                progress.say(f"  {taken} artifacts are taken over from other runs")
            for note in (*pool.notes, *notes_on(plan), *given_notes(plan, layout)):
                progress.say(f"  {note}")
            try:
                failed = execute(plan, layout, workers, cluster, progress)
            finally:
                clear_temporaries(layout.root)  # left by workers and nodes that died
            diverged = [c.name for c in plan.cells if c.name not in failed and is_diverged(c, layout)]
            for name in diverged:
                progress.say(f"  {name}: training diverged; its row states the step, and it has no other results")
            progress.begins("results")
            rows, info = collect(plan, pool, layout, diverged, scrubber.all_in(failed))
            how = {"wall_seconds": busy_seconds(layout.log), "workers": max(workers, 1), "cluster": str(cluster or "")}
            info |= {**how, "plugins": plugins, "made": ways_of(plan.cells, layout), "last_session": session}
            write_results(layout, rows, info)
            write_decision(layout)
            if said := differing_machines(info):
                progress.say(f"  {said}")
            where = ""
            if report:
                progress.begins("report")
                where = f"; the report is {draw_report([layout], layout.report, ending=True)}"
            progress.say(f"done in {duration(time.monotonic() - started)}{where}")
            seal(layout, cells, models)
    return Outcome(diverged, failed)


def _opening(plan: Plan, layout: Layout, workers: int, cluster: str) -> str:
    """The first line of a run: its cells, the models to train, the workers and the folder."""
    where = f" on a {cluster}" if cluster else ""
    if plan.external:
        models = "an external model" if plan.has_model else "generated images"
    else:
        cells, trained = len(plan.cells), len(to_train(plan, layout))
        pending = sum(not has_model(cell, layout) for cell in plan.cells)
        models = f"{cells} cells ({len(plan.points)} defenses x {plan.config.splits} splits), "
        models += f"{trained} model{'' if trained == 1 else 's'} to train"
        models += f", {pending} cell{'' if pending == 1 else 's'} to sample and query" if pending else ""
    hands = f"{workers} workers{where}" if workers else "in this process"
    return f"{plan.config.name}: {models}, {hands}; results in {layout.root}"
