"""What a model is shown of a training set: the conditions of its images, and both as the defenses change them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from leakfront.defenses import Defense, TrainingSet
from leakfront.models import DiffusionModel
from leakfront.models.contract import Words


def augmented(stack: Sequence[Defense], batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A batch, float32 [B, C, H, W] in [-1, 1], augmented by all defenses of the stack, one after the other."""
    for defense in stack:
        batch = defense.augment(batch, generator)
    return batch


def reconditioned(
    stack: Sequence[Defense], words: Words | None, condition: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """The conditions of a batch, int64 [B, ...], changed by all defenses of the stack, one after the other."""
    for defense in stack:
        condition = defense.recondition(condition, words, generator)
    return condition


def conditions_of(model: DiffusionModel, dataset: TrainingSet) -> torch.Tensor:
    """The conditions int64 [N, ...] of the images of a set, as the model takes them."""
    return model.conditions(torch.as_tensor(dataset.labels), dataset.captions)
