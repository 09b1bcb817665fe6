"""The amount of work of a cell, for estimates of time; no result depends on it."""

from __future__ import annotations

from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.plan.query_cost import model_calls

TRAINING_WEIGHT = 3.0  # forward and backward, in forward passes


def training_work(plan: Plan, cell: CellPlan) -> float:
    """The work of training a cell's model, roughly, in forward passes of one image."""
    training, steps, factor = plan.config.training, expected_steps(plan), 1.0
    if not plan.model.trained:
        return 0.0
    for defense in cell.point.stack:
        factor *= defense.relative_cost(steps, training.batch_size)
    return TRAINING_WEIGHT * steps * training.batch_size * factor


def expected_steps(plan: Plan) -> int:
    """The steps of an undefended training; of a budget in epochs, for the training set that coins give on average."""
    data = plan.config.data
    images = data.coin * (data.pool - data.duplicates.groups + data.duplicates.images)
    return plan.config.training.in_steps(images)


def sampling_work(plan: Plan) -> float:
    """The work of generating the samples of any cell, in forward passes of one image; 0 if they are given."""
    sampling = plan.config.sampling
    if plan.generated is not None:
        return 0.0
    if plan.model.kind == "generator":
        return float(sampling.images)
    return float(sampling.images * sampling.steps * (1 if sampling.guidance == 1 else 2))


def probing_work(plan: Plan, image_shape: tuple[int, ...]) -> float:
    """The work of the attacks' queries to any cell's model, in forward passes of one image (C, H, W)."""
    inside, outside = (
        model_calls(signals, image_shape, plan.model.timesteps) for signals in (plan.signals, plan.outside_signals)
    )
    pool, samples = plan.config.data.pool, plan.config.sampling.images
    images = sum(float(generation.images(pool, samples)) for generation in plan.generations)
    return pool * inside + plan.config.probe.outside * outside + images * sampling_work(plan) / samples
