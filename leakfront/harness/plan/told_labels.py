"""Which runs can tell their models other labels than the classes."""

from __future__ import annotations

from leakfront.errors import InputError
from leakfront.harness.plan.plan import Plan


def check_told_labels(plan: Plan) -> None:
    """Raise `InputError` for `data.labels` with models that are told none, or with what needs the classes."""
    labels, model, name = plan.config.data.labels, plan.model, plan.config.model.get("name")
    if labels == "class":
        return
    what = f"data.labels = {labels!r} is told to class-conditional models in place of the class"
    if model.text or plan.dataset.has_captions:
        raise InputError(
            f"{what}, and data.dataset = {plan.config.data.dataset!r} has captions, which models are told; leave it out"
        )
    if model.external:
        raise InputError(f"{what}, and model.name = {name!r} was trained elsewhere; leave it out")
    if not model.conditional:
        raise InputError(f"{what}, and models of model.name = {name!r} are told nothing; set model.conditional = true")
    if metric := next((metric for metric in plan.metrics if metric.needs_labels), None):
        raise InputError(f"{what}, and metrics.names has {metric.name!r}, which needs samples of classes; take it out")
    if labels == "unique" and plan.config.halves:
        raise InputError(f"{what}, and the two models of halves know different ones; leave out halves, or data.labels")
