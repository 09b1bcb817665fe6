"""A training of a small text model on digits with captions, for defenses of text models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from leakfront.defenses import TrainingSet, TrainingSetup
from leakfront.defenses.training.plain_step import PlainStep
from leakfront.models.lora import LoRA
from leakfront.models.text_to_image import TextToImage
from tests import oracle_targets as oracle

SMALL: dict[str, Any] = {"channels": (8, 8), "norm_groups": 4, "text_width": 8, "text_heads": 2, "tokens": 12}
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven")


def pairs(first: int, last: int, public: bool = False) -> TrainingSet:
    """Digits with captions that tell them apart."""
    count = last - first
    captions = tuple(f"a {NAMES[i % 8]} by {NAMES[i // 8 % 8]}, {i // 64}" for i in range(first, last))
    index = np.full(count, -1) if public else np.arange(count)
    return TrainingSet(oracle.digits()[first:last], np.zeros(count, np.int64), index, captions=captions)


def text_setup(tuned: bool = False, **changes: Any) -> tuple[TrainingSetup, Any]:
    """The undefended training of a text model, or with `tuned` of adapters on one; and the model."""
    family = LoRA(**SMALL, rank=2) if tuned else TextToImage(**SMALL)
    private, public = pairs(0, 60), pairs(100, 140, public=True)
    model: Any = family.build((1, 8, 8), 10, 3, [*(private.captions or ()), *(public.captions or ())])

    def conditions(dataset: TrainingSet) -> torch.Tensor:
        return model.conditions(torch.as_tensor(dataset.labels), dataset.captions)

    setup = TrainingSetup(
        network=model.network.train(), loss=model.loss(), dataset=private, public=public, expected_size=60.0, steps=50,
        batch_size=8, learning_rate=1e-3, ema_decay=0.9, make_step=PlainStep, conditions=conditions, seed=3,
        unit="training pair",
    )  # fmt: skip
    return replace(setup, **changes), model


def batch(setup: TrainingSetup, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first images of the training set, in [-1, 1], and their conditions."""
    images = torch.as_tensor(setup.dataset.images[:count]).float() / 127.5 - 1
    return images, setup.conditions(setup.dataset)[:count]
