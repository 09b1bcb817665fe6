"""The one training loop, with the defenses' hooks."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from leakfront.defenses import Defense, Guarantee, TrainingSet, TrainingSetup, TrainingStep
from leakfront.defenses.training.adversarial_step import AdversarialStep
from leakfront.defenses.training.plain_step import PlainStep
from leakfront.defenses.training.ranks import ALONE, Ranks
from leakfront.errors import DivergedError
from leakfront.harness.machine.clock import Stopwatch
from leakfront.harness.settings import sections
from leakfront.harness.training.batches import augmented, conditions_of, reconditioned
from leakfront.harness.training.draws import seed_private_step, seed_step
from leakfront.harness.training.state import CallCounter, Checkpoints, TrainingState
from leakfront.models import DiffusionModel, generates
from leakfront.seeds import derive_seed

Progress = Callable[[int, int, dict[str, float]], None]


@dataclass(frozen=True)
class Trained:
    """The record of a training.

    seconds (see `Stopwatch`) and model_calls (images through the network) include the work of defenses, for example on
    public images. losses: (step, mean loss since the previous entry). report: the numbers of the training step.
    """

    steps: int
    seconds: float
    model_calls: int
    losses: list[tuple[int, float]]
    report: dict[str, float]
    guarantee: Guarantee | None


Snapshot = Callable[[int, DiffusionModel, Trained], None]  # steps, the model after them, the record of its training


@dataclass(frozen=True)
class TrainingRun:
    """How a model is trained: the budget, the defenses in their order, the seed of all draws, the device.

    privacy_key: 32 secret bytes from which a private training draws instead of the seed. ranks: the processes that
    train together; the first writes the checkpoints, and all end with the same weights.
    snapshots: the steps after which a shorter training with the same draws ends; only for defenses that do not depend
    on the number of steps.
    """

    settings: sections.Training  # in steps
    stack: Sequence[Defense]
    seed: int
    device: str = "cpu"
    privacy_key: bytes | None = None
    ranks: Ranks = ALONE
    snapshots: frozenset[int] = frozenset()


def to_unit_range(images: Any) -> torch.Tensor:
    """uint8 [N, C, H, W] -> float32 in [-1, 1]."""
    return torch.as_tensor(images).float() / 127.5 - 1


def train(
    model: DiffusionModel,
    dataset: TrainingSet,
    public: TrainingSet,
    expected_size: float,
    training: TrainingRun,
    checkpoints: Checkpoints,
    progress: Progress,
    keep: Snapshot = lambda *_: None,
) -> Trained:
    """Train `model.network`, or the network that defenses replace it with. At the end it has the EMA weights.

    dataset: the training set. public: images outside the pool, for defenses that need some. expected_size: the public
    expected size of the training set. keep: receives each snapshot when it is reached.

    Every random number of step k comes from (seed, k), under private defenses from (privacy_key, k). So a training that
    resumes from a checkpoint equals one that was never stopped. Raises `DivergedError` at the first loss or weight that
    is not finite.
    """
    # set-up: the defenses change it in turn
    setup = _set_up(model, dataset, public, expected_size, training)
    network = setup.network.to(training.device).train()
    watch, counter = Stopwatch(training.device), CallCounter(network)
    setup.ranks = replace(training.ranks, elsewhere=counter.add)
    step = setup.make_step(setup)  # may train on public images
    secret = _secret_of(training, step)
    state = TrainingState(setup, network, step, counter, watch, training.snapshots)
    state.load(checkpoints)
    training.ranks.wait()  # until all have loaded: the first rank may soon write another checkpoint

    # steps
    images = torch.as_tensor(dataset.images).to(training.device)  # uint8; on a CPU they stay in their file
    conditions = setup.conditions(dataset).to(training.device)
    clock = _Clock(checkpoints, progress, setup.steps)
    generator, parameters = torch.Generator(), list(network.parameters())
    stop = False
    for k in range(state.done, setup.steps):
        if secret is None:
            seed_step(generator, training.seed, k)
        else:
            seed_private_step(generator, secret, k)
        indices = step.draw(generator)
        value = step.update(to_unit_range(images[indices]), conditions[indices], generator)
        if len(indices) and not math.isfinite(value):
            raise DivergedError(k + 1)
        state.ema.step(parameters)
        state.done = k + 1
        stop = setup.stopping is not None and training.ranks.broadcast(setup.stopping.should_stop(k + 1, network))
        for record in state.records.values():
            if state.done <= record.steps:
                record.add(state.done, value if len(indices) else None, last=stop)
        if stop:
            break
        if training.ranks.rank == 0:
            if state.done in state.records and state.done < setup.steps:
                _take_snapshot(model, state, keep)
            clock.tick(state)

    # the averaged weights
    trained = _trained(state, setup.steps)
    counter.remove()
    state.ema.copy_to(parameters)
    _require_finite(network, state.done)
    model.network = setup.finish(network).eval().requires_grad_(False)
    return trained


def _secret_of(training: TrainingRun, step: TrainingStep) -> bytes | None:
    """The key that a private training draws from; None for a plain one."""
    if not any(defense.private for defense in training.stack):
        if step.guarantee() is not None:
            raise ValueError(
                "a training step with a guarantee needs secret draws; its defense must set `private = True`"
            )
        return None
    if training.privacy_key is None:
        raise ValueError("a private training needs a privacy_key")
    return training.privacy_key


def _set_up(
    model: DiffusionModel, dataset: TrainingSet, public: TrainingSet, expected_size: float, training: TrainingRun
) -> TrainingSetup:
    assert model.network is not None
    settings = training.settings
    assert settings.steps is not None
    setup = TrainingSetup(
        network=model.network.to(training.device).train(),
        loss=_no_loss if generates(model) else model.loss(),
        dataset=dataset,
        public=public,
        expected_size=expected_size,
        steps=settings.steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        ema_decay=settings.ema_decay,
        make_step=AdversarialStep if generates(model) else PlainStep,
        augment=partial(augmented, training.stack),
        recondition=partial(reconditioned, training.stack, model.words),
        conditions=partial(conditions_of, model),
        device=training.device,
        seed=derive_seed(training.seed, "defenses"),
        unit="training image" if model.words is None else "training pair",
    )
    for defense in training.stack:
        setup.unit = defense.unit(setup.unit)
        setup = defense.training(setup)
    return setup


def _no_loss(*_: Any) -> torch.Tensor:
    raise TypeError("a generator has no loss of a single image")


def _take_snapshot(model: DiffusionModel, state: TrainingState, keep: Snapshot) -> None:
    """Pass to `keep` the model that a training of this many steps would end with, outside of the training time."""
    trained = _trained(state, state.done)
    began = state.seconds
    shorter = copy.copy(model)
    shorter.network = network = copy.deepcopy(state.network)
    state.ema.copy_to(network.parameters())
    _require_finite(network, state.done)
    network.eval().requires_grad_(False)
    network._forward_pre_hooks.clear()  # the hooks that count calls
    keep(state.done, shorter, trained)
    state.not_counted(state.seconds - began)


def _trained(state: TrainingState, steps: int) -> Trained:
    return Trained(
        steps=state.done,
        seconds=state.seconds,
        model_calls=state.counter.calls,
        losses=state.records[steps].entries,
        report=state.step.report(),
        guarantee=state.step.guarantee(),
    )


def _require_finite(network: nn.Module, step: int) -> None:
    if not all(bool(parameter.isfinite().all()) for parameter in network.parameters()):
        raise DivergedError(step)


class _Clock:
    """Writes checkpoints and reports progress, each at its interval."""

    def __init__(self, checkpoints: Checkpoints, progress: Progress, steps: int) -> None:
        self._checkpoints, self._progress, self._steps = checkpoints, progress, steps
        self._saved = self._shown = time.monotonic()

    def tick(self, state: TrainingState) -> None:
        """To be called after each step."""
        now = time.monotonic()
        if now - self._saved > self._checkpoints.seconds:
            report = state.save(self._checkpoints)
            self._progress(state.done, self._steps, report)
            self._saved = self._shown = now
        elif now - self._shown > 1:
            self._progress(state.done, self._steps, {})
            self._shown = now
