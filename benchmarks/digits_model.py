"""A training step of the digits benchmark, for the benchmarks of training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from leakfront.defenses import Defense, TrainingSet, TrainingSetup
from leakfront.defenses.training.plain_step import PlainStep
from leakfront.harness.training.loop import augmented
from leakfront.models.unet import UNet


def blank(size: int) -> TrainingSet:
    """A training set of black images; only its size matters."""
    return TrainingSet(np.zeros((size, 1, 8, 8), np.uint8), np.zeros(size, np.int64), np.arange(size))


def training_setup(batch_size: int) -> TrainingSetup:
    """The training setup of the digits benchmark, on 640 images."""
    model = UNet(channels=(16, 32)).build((1, 8, 8), 10, 0)
    return TrainingSetup(
        network=model.network,
        loss=model.loss(),
        dataset=blank(640),
        public=blank(0),
        expected_size=640.0,
        steps=200,
        batch_size=batch_size,
        learning_rate=3e-3,
        ema_decay=0.999,
        make_step=PlainStep,
    )


def step_of(batch_size: int, *stack: Defense, done: int = 0) -> Callable[[], object]:
    """A function that makes one training step on `batch_size` images under a stack of defenses.

    done: the steps already made, for defenses whose steps change in the course of training.
    """
    setup = training_setup(batch_size)
    for defense in stack:
        setup = defense.training(setup)
    setup.augment = partial(augmented, stack)
    setup.network.train()
    step = setup.make_step(setup)
    if done:
        step.load_state_dict({**step.state_dict(), "done": done})
    generator = torch.Generator().manual_seed(0)

    def one() -> object:
        step.draw(generator)  # a private step remembers its batch; here all batches have the same size
        return step.update(images, labels, generator)

    images = torch.rand(batch_size, 1, 8, 8, generator=generator) * 2 - 1
    labels = torch.zeros(batch_size, dtype=torch.long)
    return one
