"""The models that a run trains: cells with the same weights share one, and a longer training includes shorter ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from leakfront.defenses import Defense
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.plan.workload import expected_steps


@dataclass(frozen=True)
class Weights:
    """What determines a model's weights, given its training set.

    layers: the defenses that act on batches or on training. steps: the length of the training; None if it is given in
    epochs. prefix: whether a training of fewer steps, with all else equal, is the beginning of this one.
    """

    layers: tuple[Defense, ...]
    steps: int | None
    prefix: bool


@dataclass(frozen=True)
class ModelPlan:
    """One model of a run: the key of its weights, the cells that use it, and the steps of its training.

    steps: an estimate if they follow from the training set. family: the same for trainings that differ only in length;
    the longest one makes the models of all of them.
    """

    key: str
    cells: tuple[CellPlan, ...]
    steps: int
    family: str

    @property
    def cell(self) -> CellPlan:
        """The cell that represents the model: its training set and its training are those of this cell."""
        return self.cells[0]


def weights_of(stack: Sequence[Defense], steps: int | None) -> Weights:
    """The weights of a training of `steps` steps with a stack of defenses.

    Without a number of steps, which then follows from the training set, no training is the beginning of another.
    If no other defense acts on training, a defense that only stops at a fixed step is not a layer: it changes `steps`.
    (Other defenses may depend on the number of steps, as DP-SGD's noise does.)
    """
    layers = tuple(layer for layer in stack if layer.overrides("augment", "recondition", "training", "unit"))
    if steps is None:
        return Weights(layers, None, False)
    rest = tuple(layer for layer in layers if layer.snapshot_step(steps) is None)
    if any(layer.overrides("training") for layer in rest):
        return Weights(layers, steps, False)
    for layer in layers:
        steps = layer.snapshot_step(steps) or steps
    return Weights(rest, steps, True)


def models_of(plan: Plan) -> list[ModelPlan]:
    """The models of a run, in the order of its cells."""
    users: dict[str, list[CellPlan]] = {}
    for cell in plan.cells:
        users.setdefault(cell.keys["train"], []).append(cell)
    models = []
    for key, cells in users.items():
        weights = weights_of(cells[0].point.stack, plan.config.training.steps)
        together = f"{cells[0].keys['prepare']}, {weights.layers}" if weights.prefix and plan.model.trained else key
        models.append(ModelPlan(key, tuple(cells), weights.steps or expected_steps(plan), together))
    return models


def longest_of(models: Iterable[ModelPlan]) -> list[ModelPlan]:
    """The model with the longest training of each family; the others are its snapshots."""
    longest: dict[str, ModelPlan] = {}
    for model in models:
        if model.family not in longest or model.steps > longest[model.family].steps:
            longest[model.family] = model
    return list(longest.values())


def stopped_early(plan: Plan) -> dict[str, str]:
    """For each defense whose training is another one stopped early, by labels: the defense that trains to the end.

    A defense that is not in the run is named in parentheses.
    """
    steps, hooks = expected_steps(plan), ("prepare", "augment", "recondition", "training", "guard")

    def acting(stack: Sequence[Defense]) -> list[Defense]:
        return [layer for layer in stack if layer.overrides(*hooks)]

    whole = {repr(acting(point.stack)): point.label for point in plan.points}
    found = {}
    for point in plan.points:
        rest = [layer for layer in acting(point.stack) if layer.snapshot_step(steps) is None]
        if len(rest) < len(acting(point.stack)):
            found[point.label] = whole.get(repr(rest), f"({'+'.join(layer.name for layer in rest)})")
    return found
