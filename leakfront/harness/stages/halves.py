"""The other half: a second model of each cell, trained on the decoys, and what both make of the same noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from leakfront.attacks.nearest import flatten_unit
from leakfront.errors import DivergedError, InputError
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.plan.workload import sampling_work, training_work
from leakfront.harness.pool.pool import training_set
from leakfront.harness.stages.base import public_set
from leakfront.harness.stages.cell_rows import row_of
from leakfront.harness.stages.pool import member_share
from leakfront.harness.stages.prepare import load_members, load_prepared, prepared
from leakfront.harness.stages.sample import (
    SAMPLE,
    asked_of,
    draw_samples,
    load_sample_prompts,
    load_samples,
    load_unguarded_samples,
    trained_labels,
)
from leakfront.harness.stages.stage import Files, Stage, Subject, Work
from leakfront.harness.stages.stored_json import read_stored_rows
from leakfront.harness.stages.train import TRAIN, fresh_model, is_private
from leakfront.harness.store.artifacts import discard
from leakfront.harness.store.layout import Layout
from leakfront.results.run.rows import Row, measured
from leakfront.results.statistics.agreement import agreement
from leakfront.results.statistics.estimate import Estimate
from leakfront.seeds import derive_seed

if TYPE_CHECKING:
    from leakfront.defenses import TrainingSet
    from leakfront.models import DiffusionModel

CHECKPOINT = "halves.checkpoint"
SOURCE = "halves"


def _run(work: Work) -> Files:
    """Train on the decoys as the cell's model was on the members, and compare samples from the same noise.

    The two trainings have the same first weights, settings and seeds, and no image in common. Defenses of data,
    batches and training apply to both, guards of the sampler to neither.
    """
    plan, cell, layout = work.plan, work.cell, work.layout
    members = load_members(cell, layout)
    decoys = training_set(work.pool, ~members)
    for layer in cell.point.stack:
        decoys = prepared(layer, decoys) if layer.overrides("prepare") else decoys
    share = member_share(plan, members)
    expected = load_prepared(cell, layout)[1] * (1 - share) / share
    try:
        model = _trained(work, decoys, expected)
    except DivergedError as error:
        found = Estimate(math.nan, math.nan, math.nan, f"the model of the decoys diverged at step {error.step}")
    else:
        asked = asked_of(model, work.pool, trained_labels(work))
        images = draw_samples(plan, model, cell.split, asked, progress=work.progress)
        unguarded = load_unguarded_samples(cell, layout)
        own = load_samples(cell, layout) if unguarded is None else unguarded
        found = agreement(flatten_unit(own), flatten_unit(images), load_sample_prompts(cell, layout))
    discard(layout.stage(cell.name, CHECKPOINT))
    found = found._replace(method=f"{found.method}; the other model has {len(decoys)} training images")
    row = row_of(plan, cell)(kind="privacy", source=SOURCE, metric="agreement", **measured(found),
                             n=plan.config.sampling.images, higher_is_better=True)  # fmt: skip
    return {"rows.json": [vars(row)]}


def _work(work: Work) -> float:
    return training_work(work.plan, work.cell) + sampling_work(work.plan)


def _settings(subject: Subject) -> list[Any]:
    plan, cell = subject.plan, subject.cell
    return [
        plan.config.name,
        plan.data_name,
        plan.model.label,
        cell.name,
        cell.point.line,
        cell.point.params,
    ]  # in rows


HALVES = Stage(
    "halves", "cell", inputs=("prepare", "train", "sample"), settings=_settings,
    code=lambda subject: [*TRAIN.code(subject), *SAMPLE.code(subject)], run=_run, work=_work,
    needed=lambda plan: plan.config.halves,
)  # fmt: skip


def _trained(work: Work, decoys: TrainingSet, expected: float) -> DiffusionModel:
    """The model of the decoys, from its checkpoint if there is one."""
    from leakfront.harness.plan.trainings import weights_of
    from leakfront.harness.training.loop import TrainingRun, to_unit_range, train
    from leakfront.harness.training.state import Checkpoints

    plan, cell, config = work.plan, work.cell, work.plan.config
    seed, device = derive_seed(config.seed, "training", cell.split), config.execution.device
    model: Any = fresh_model(plan, work.pool, seed)
    if plan.model.trained:
        weights = weights_of(cell.point.stack, config.training.steps)
        steps = weights.steps or config.training.in_steps(len(decoys))
        settings = config.training.model_copy(update={"steps": steps, "epochs": None})
        training = TrainingRun(settings=settings, stack=weights.layers, seed=seed, device=device)
        place = work.layout.stage(cell.name, CHECKPOINT)
        checkpoints = Checkpoints(place, cell.keys[HALVES.name], config.training.checkpoint_seconds)
        train(model, decoys, public_set(work.pool), expected, training, checkpoints, work.progress)
        model.network.to(device).eval().requires_grad_(False)
    else:
        model.fit(to_unit_range(decoys.images))
    return model  # type: ignore[no-any-return]


def halves_rows(plan: Plan, cell: CellPlan, layout: Layout) -> list[Row]:
    """The agreement of the two models of a cell; none in runs that train one model for a cell."""
    return read_stored_rows(layout.stage(cell.name, HALVES.name) / "rows.json") if HALVES.needed(plan) else []


def check_halves(plan: Plan) -> None:
    """Raise `InputError` for `halves` with models that cannot be trained on the decoys, or not compared."""
    if not HALVES.needed(plan):
        return
    model, sampling = plan.model, plan.config.sampling
    noisy = model.kind == "diffusion" and (sampling.scheduler == "ddpm" or sampling.eta > 0)
    reasons = {
        "this model was trained elsewhere": plan.external or plan.known_membership,
        "samples of this model are asked for by captions": model.text,
        "this model is trained on a base": model.base_family is not None,
        "the draws of a private training must not be used twice": any(is_private(p.stack) for p in plan.points),
        'this sampler draws noise in every step; set sampling.scheduler = "ddim" and sampling.eta = 0': noisy,
    }
    if reason := next((reason for reason, holds in reasons.items() if holds), ""):
        raise InputError(f"halves = true trains a second model on the decoys, and compares their samples, but {reason}")
