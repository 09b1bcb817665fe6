"""How much work a cell is, for estimates of time; no result depends on it."""

from __future__ import annotations

from leakfront.plan import CellPlan, Plan

TRAINING_WEIGHT = 3.0  # forward and backward, in forward passes


def cell_work(plan: Plan, cell: CellPlan) -> dict[str, float]:
    """The forward passes of one image that each stage of a cell amounts to, roughly: train, sample and probe."""
    training, sampling = plan.config.training, plan.config.sampling
    factor = 1.0
    for defense in cell.point.stack:
        factor *= defense.relative_cost(training.steps, training.batch_size)
    calls = sum(_calls(signal) for signal in plan.signals)
    rows = training.steps * training.batch_size if plan.model.trained else 0
    return {
        "train": TRAINING_WEIGHT * rows * factor,
        "sample": float(sampling.images * sampling.steps),
        "probe": float(plan.config.data.pool * calls),
    }


def _calls(signal: object) -> int:
    """Model calls per image of a signal, guessed from its parameters (the probe stage counts them exactly)."""
    timesteps = getattr(signal, "timesteps", None)
    if timesteps is not None:
        return len(timesteps) * int(getattr(signal, "draws", 1)) + 1
    return 12
