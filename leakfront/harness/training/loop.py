"""The one training loop, with the defenses' hooks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel

from leakfront.defenses import Defense, Guarantee, TrainingSet, TrainingSetup
from leakfront.defenses.training.plain_step import PlainStep
from leakfront.defenses.training.ranks import ALONE, Ranks
from leakfront.errors import DivergedError
from leakfront.harness.machine.clock import Stopwatch
from leakfront.harness.settings.sections import Training
from leakfront.harness.training.checkpoint import load_checkpoint, save_checkpoint
from leakfront.models import DiffusionModel
from leakfront.seeds import derive_seed

Progress = Callable[[int, int, dict[str, float]], None]


@dataclass(frozen=True)
class Trained:
    """What a training run reports: losses as (step, mean loss since the last entry).

    seconds (see `Stopwatch`) and model_calls include what defenses spent, on public images say; calls are images
    through the network.
    """

    steps: int
    seconds: float
    model_calls: int
    losses: list[tuple[int, float]]
    report: dict[str, float]
    guarantee: Guarantee | None


@dataclass(frozen=True)
class Checkpoints:
    """Where training state is kept, under which key, and how often it is written."""

    folder: Path
    key: str
    seconds: float


def to_unit_range(images: Any) -> torch.Tensor:
    """uint8 [N, C, H, W] -> float32 in [-1, 1]."""
    return torch.as_tensor(images).float() / 127.5 - 1


def train(
    model: DiffusionModel,
    dataset: TrainingSet,
    public: TrainingSet,
    expected_size: float,
    stack: Sequence[Defense],
    settings: Training,
    seed: int,
    device: str,
    checkpoints: Checkpoints,
    progress: Progress,
    ranks: Ranks = ALONE,
) -> Trained:
    """Train `model.network`, or what the defenses put in its place; it ends with the EMA weights.

    public: images outside the pool, for defenses that need some.

    Every random number of step k comes from (seed, k), so a run that goes on from a checkpoint is the run that was
    never stopped. Raises `DivergedError` at the first loss or weight that is not finite.

    ranks: the processes that do this together; the first keeps the checkpoints, all end with the same weights.
    """
    assert model.network is not None
    setup = TrainingSetup(
        network=model.network.to(device).train(),
        loss=model.loss(),
        dataset=dataset,
        public=public,
        expected_size=expected_size,
        steps=settings.steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        ema_decay=settings.ema_decay,
        make_step=PlainStep,
        augment=partial(augmented, stack),
        device=device,
        seed=derive_seed(seed, "defenses"),
    )
    for defense in stack:
        setup.unit = defense.unit(setup.unit)
        setup = defense.training(setup)
    network = setup.network.to(device).train()
    watch = Stopwatch(device)
    counter = _CallCounter(network)
    setup.ranks = replace(ranks, elsewhere=counter.add)
    step = setup.make_step(setup)  # may train on public images
    ema = EMAModel(network.parameters(), decay=setup.ema_decay, foreach=True)
    images, labels = to_unit_range(dataset.images).to(device), torch.as_tensor(dataset.labels).to(device)

    losses: list[tuple[int, float]] = []
    recent: list[float] = []
    done, earlier_seconds = 0, 0.0
    if state := load_checkpoint(checkpoints.folder, checkpoints.key):
        network.load_state_dict(state["network"])
        ema.load_state_dict(state["ema"])
        ema.to(device)
        step.load_state_dict(state["step"])
        if setup.stopping is not None:
            setup.stopping.load_state_dict(state["stopping"])
        done, earlier_seconds, counter.calls = state["done"], state["seconds"], state["model_calls"]
        losses, recent = [tuple(pair) for pair in state["losses"]], state["recent"]
    ranks.wait()  # the first may write another checkpoint soon

    saved = shown = time.monotonic()
    generator = torch.Generator()
    for k in range(done, setup.steps):
        generator.manual_seed(derive_seed(seed, "step", k))
        torch.manual_seed(derive_seed(seed, "global", k))  # dropout and torchvision draw from the global generator
        indices = step.draw(generator)
        value = step.update(images[indices], labels[indices], generator)
        if len(indices) and not math.isfinite(value):
            raise DivergedError(k + 1)
        ema.step(network.parameters())
        recent += [value] if len(indices) else []
        done, stop = k + 1, setup.stopping is not None and ranks.broadcast(setup.stopping.should_stop(k + 1, network))
        if (k + 1) % max(1, setup.steps // 50) == 0 or k + 1 == setup.steps or stop:
            losses.append((k + 1, sum(recent) / len(recent) if recent else math.nan))
            recent = []
        if stop:
            break
        now = time.monotonic()
        if ranks.rank > 0:
            continue
        if now - saved > checkpoints.seconds:
            spent = step.report()  # what the accountant says of the steps so far, in the checkpoint and on the display
            state = {
                "network": network.state_dict(), "ema": ema.state_dict(), "step": step.state_dict(), "done": k + 1,
                "seconds": earlier_seconds + watch.seconds, "model_calls": counter.calls, "losses": losses,
                "recent": recent,
                "report": spent,
                "stopping": setup.stopping.state_dict() if setup.stopping is not None else {},
            }  # fmt: skip
            save_checkpoint(checkpoints.folder, checkpoints.key, state)
            progress(k + 1, setup.steps, spent)
            saved = shown = now
        elif now - shown > 1:
            progress(k + 1, setup.steps, {})
            shown = now
    seconds = earlier_seconds + watch.seconds

    ema.copy_to(network.parameters())
    if not all(bool(p.isfinite().all()) for p in network.parameters()):
        raise DivergedError(done)
    counter.remove()
    model.network = setup.finish(network).eval().requires_grad_(False)
    trained = Trained(done, seconds, counter.calls, losses, step.report(), step.guarantee())
    return trained


def augmented(stack: Sequence[Defense], batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A batch, float32 [B, C, H, W] in [-1, 1], as all defenses of the stack change it, one after the other."""
    for defense in stack:
        batch = defense.augment(batch, generator)
    return batch


class _CallCounter:
    """Counts the images that pass through a network."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.calls = 0
        self._handle = network.register_forward_pre_hook(self._count)

    def _count(self, module: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        self.add(len(arguments[0]))

    def add(self, images: int) -> None:
        self.calls += images

    def remove(self) -> None:
        self._handle.remove()
