"""Which models a run trains: cells with the same weights share one, and a shorter training is part of a longer one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from leakfront.defenses import Defense
from leakfront.harness.plan.plan import CellPlan, Plan


@dataclass(frozen=True)
class Weights:
    """What decides a model's weights, given its training set.

    layers: the defenses that act on batches or on training; steps: of the training; prefix: whether the training of
    fewer steps, with all else equal, is the beginning of this one.
    """

    layers: tuple[Defense, ...]
    steps: int
    prefix: bool


@dataclass(frozen=True)
class ModelPlan:
    """One model of a run: the key of its weights, the cells that use it, and the steps of its training.

    family: equal for trainings that are beginnings of one another; the longest one makes them all.
    """

    key: str
    cells: tuple[CellPlan, ...]
    steps: int
    family: str

    @property
    def cell(self) -> CellPlan:
        """The cell that stands for the model where it is prepared, trained and shown."""
        return self.cells[0]


def weights_of(stack: Sequence[Defense], steps: int) -> Weights:
    """What a stack of defenses makes of a training of `steps` steps.

    A defense that only stops the training at a fixed step is part of the steps, if no other defense acts on training
    (another may depend on their number, as DP-SGD's noise does).
    """
    layers = tuple(layer for layer in stack if layer.overrides("augment", "training", "unit"))
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
        models.append(ModelPlan(key, tuple(cells), weights.steps, together))
    return models


def longest_of(models: Iterable[ModelPlan]) -> list[ModelPlan]:
    """Of each family the model with the longest training, which makes the others on its way."""
    longest: dict[str, ModelPlan] = {}
    for model in models:
        if model.family not in longest or model.steps > longest[model.family].steps:
            longest[model.family] = model
    return list(longest.values())
