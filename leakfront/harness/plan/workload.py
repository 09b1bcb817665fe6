"""How much work a cell is, for estimates of time; no result depends on it."""

from __future__ import annotations

from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.plan.query_cost import model_calls

TRAINING_WEIGHT = 3.0  # forward and backward, in forward passes


def training_work(plan: Plan, cell: CellPlan) -> float:
    """The forward passes of one image that training a cell amounts to, roughly."""
    training, factor = plan.config.training, 1.0
    if not plan.model.trained:
        return 0.0
    for defense in cell.point.stack:
        factor *= defense.relative_cost(training.steps, training.batch_size)
    return TRAINING_WEIGHT * training.steps * training.batch_size * factor


def querying_work(plan: Plan, image_shape: tuple[int, ...]) -> dict[str, float]:
    """The same for sampling and probing any cell, whose images are (C, H, W)."""
    samples = float(plan.config.sampling.images * plan.config.sampling.steps)
    inside, outside = (
        model_calls(signals, image_shape, plan.model.timesteps) for signals in (plan.signals, plan.outside_signals)
    )
    probing = plan.config.data.pool * inside + plan.config.probe.outside * outside
    guided = 2 * samples * len(plan.generations)  # what guides a generation costs about as much again
    return {"sample": samples, "probe": probing + guided}
