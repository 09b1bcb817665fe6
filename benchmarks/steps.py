"""Training steps for the benchmarks of training: on images that do not matter, plain, private, or under defenses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from leakfront.defenses import Defense, TrainingSet, TrainingSetup
from leakfront.defenses.dp_sgd import DPSGD
from leakfront.defenses.training.gradient_check import CHECKED_BATCHES
from leakfront.defenses.training.plain_step import PlainStep
from leakfront.harness.training.batches import augmented
from leakfront.models.unet import UNet

DIGITS = (1, 8, 8)
Shape = tuple[int, int, int]


def blank(size: int, shape: Shape = DIGITS) -> TrainingSet:
    """A training set of black images; only its size matters."""
    return TrainingSet(np.zeros((size, *shape), np.uint8), np.zeros(size, np.int64), np.arange(size))


def training_setup(
    model: Any,
    batch_size: int,
    dataset: TrainingSet,
    steps: int = 200,
    learning_rate: float = 3e-3,
    device: str = "cpu",
) -> TrainingSetup:
    """The plain training of a model; by default the steps and the learning rate are for digits."""
    return TrainingSetup(
        network=model.network.to(device).train().requires_grad_(True),
        loss=model.loss(),
        dataset=dataset,
        public=blank(0),
        expected_size=float(len(dataset)),
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        ema_decay=0.999,
        make_step=PlainStep,
        device=device,
    )


def step_of(batch_size: int, *stack: Defense, done: int = 0) -> Callable[[], object]:
    """A function that makes one training step of the digits benchmark under a stack of defenses.

    done: the steps already made, for defenses whose steps change in the course of training.
    """
    setup = training_setup(UNet(channels=(16, 32)).build(DIGITS, 10, 0), batch_size, blank(640))
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

    images = torch.rand(batch_size, *DIGITS, generator=generator) * 2 - 1
    labels = torch.zeros(batch_size, dtype=torch.long)
    return one


def step_on(setup: TrainingSetup, images: torch.Tensor, draws: int, privacy: DPSGD | None) -> Callable[[], object]:
    """A function that makes one step on these images, float [N, C, H, W] on the device of the setup.

    It is private, with `draws` of the noise for each image as `privacy` says, or, without `privacy`, plain on as many
    rows.
    """
    if privacy is not None:
        setup = privacy.training(setup)
    else:
        images = images.repeat_interleave(draws, 0)
    labels = torch.zeros(len(images), dtype=torch.long, device=images.device)
    step, generator = setup.make_step(setup), torch.Generator().manual_seed(0)
    for _ in range(CHECKED_BATCHES):  # in which a private step compares its gradients with autograd's
        step.update(images[:2], labels[:2], generator)
    return lambda: step.update(images, labels, generator)
