"""The training hook of a defense, checked: its step trains, and goes on from its saved state."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.defenses import Defense, Guarantee, TrainingSet, TrainingSetup, TrainingStep
from leakfront.testing import oracles
from leakfront.testing.plugin import calling, require

if TYPE_CHECKING:
    import torch

SIZE, BATCH = 64, 8  # of the training set and its batches


def check_training(defense: Defense, who: str) -> None:
    """Raise `AssertionError` unless the `training` hook of a defense keeps to its contract.

    who: the defense as sentences begin with it.
    """
    import torch

    setup, step = _started(defense, who)
    before = _weights(setup)
    if _advance(setup, step, 0, who):
        moved = any(not torch.equal(a, b) for a, b in zip(before, _weights(setup), strict=True))
        require(moved, f"the training step of {who} must change the network's weights")
    weights = {name: value.clone() for name, value in setup.network.state_dict().items()}
    with calling(f"{who}: state_dict of its training step"):
        state = copy.deepcopy(step.state_dict())
    _check_state(state, f"the state_dict of the training step of {who}")
    resumed, other = _started(defense, who)
    resumed.network.load_state_dict(weights)
    with calling(f"{who}: load_state_dict of its training step"):
        other.load_state_dict(state)
    _advance(setup, step, 1, who)
    _advance(resumed, other, 1, who)
    same = all(torch.equal(a, b) for a, b in zip(_weights(setup), _weights(resumed), strict=True))
    require(same, f"the training step of {who} must go on from its state_dict as if it had never stopped")
    _check_report(step, who)
    with calling(f"{who}: finish"):
        kept = setup.finish(setup.network)
    require(isinstance(kept, torch.nn.Module), f"finish of {who} must return the network that is kept")


def training_set(images: np.ndarray, pool_index: np.ndarray) -> TrainingSet:
    """A training set whose labels are the numbers of the pool images modulo 10, and whose captions name them."""
    captions = tuple(f"digit number {index}" for index in pool_index.tolist())
    return TrainingSet(images, pool_index % 10, pool_index, captions=captions)


def training_setup(captions: bool = False) -> TrainingSetup:
    """The undefended training of a small UNet on 64 digits in batches of 8, with 64 public ones.

    captions: train a small text model on their captions instead.
    """
    from leakfront.defenses.training.plain_step import PlainStep
    from leakfront.models.text_to_image import TextToImage
    from leakfront.models.unet import UNet

    digits = oracles.digits()
    private, public = training_set(digits[:SIZE], np.arange(SIZE)), training_set(digits[100:164], np.full(SIZE, -1))
    model: Any = UNet(channels=(8, 8), head_channels=8).build((1, 8, 8), 10, 0)
    if captions:
        family = TextToImage(channels=(8, 8), norm_groups=4, text_width=8, text_heads=2)
        model = family.build((1, 8, 8), 10, 0, private.captions or ())

    def conditions(dataset: TrainingSet) -> torch.Tensor:
        import torch

        labels = torch.as_tensor(dataset.labels)
        found: torch.Tensor = model.conditions(labels, dataset.captions) if captions else labels
        return found

    return TrainingSetup(
        network=model.network, loss=model.loss(), dataset=private, public=public, expected_size=float(SIZE), steps=100,
        batch_size=BATCH, learning_rate=1e-3, ema_decay=0.9, make_step=PlainStep, conditions=conditions,
    )  # fmt: skip


def _started(defense: Defense, who: str) -> tuple[TrainingSetup, TrainingStep]:
    """The defense's set-up and its step; the same each time."""
    import torch

    torch.manual_seed(0)
    with calling(f"{who}: training"):
        setup = defense.training(training_setup(defense.needs_captions))
    require(isinstance(setup, TrainingSetup), f"training of {who} must return a TrainingSetup")
    setup.network.train()
    with calling(f"{who}: make_step"):
        return setup, setup.make_step(setup)


def _weights(setup: TrainingSetup) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in setup.network.parameters()]


def _advance(setup: TrainingSetup, step: TrainingStep, number: int, who: str) -> int:
    """Take one step with the random numbers of this number; return how many images it drew."""
    import torch

    generator = torch.Generator().manual_seed(number)
    torch.manual_seed(number)
    with calling(f"{who}: draw of its training step"):
        indices = step.draw(generator)
    within = not len(indices) or bool(indices.min() >= 0 and indices.max() < setup.size)
    require(indices.dtype == torch.int64 and within, f"draw of {who} must return int64 indices into the training set")
    images = torch.as_tensor(setup.dataset.images).float() / 127.5 - 1
    conditions = setup.conditions(setup.dataset)
    with calling(f"{who}: update of its training step"):
        loss = step.update(images[indices], conditions[indices], generator)
    require(not len(indices) or math.isfinite(loss), f"update of {who} must return a finite loss; it is {loss}")
    return len(indices)


def _check_state(state: Any, subject: str) -> None:
    """Raise `AssertionError` unless a state is made of tensors, numbers, texts, and lists and dicts of them."""
    import torch

    plain = state is None or isinstance(state, torch.Tensor | int | float | str)
    require(plain or isinstance(state, dict | list | tuple), f"{subject} must hold tensors, numbers and texts only")
    for part in state.values() if isinstance(state, dict) else () if plain else state:
        _check_state(part, subject)


def _check_report(step: TrainingStep, who: str) -> None:
    with calling(f"{who}: report and guarantee of its training step"):
        report, guarantee = step.report(), step.guarantee()
    numbers = all(isinstance(name, str) and math.isfinite(value) for name, value in report.items())
    require(numbers, f"the report of {who} must be finite numbers by name; it is {report}")
    if guarantee is not None:
        require(isinstance(guarantee, Guarantee), f"the guarantee of {who} must be a Guarantee or None")
        private = guarantee.epsilon >= 0 and 0 < guarantee.delta < 1 and guarantee.accountant
        require(private, f"the guarantee of {who} must have epsilon >= 0, 0 < delta < 1 and an accountant")
