"""The complete state of a training between two steps, as a checkpoint stores it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffusers.training_utils import EMAModel
from torch import nn

from leakfront.defenses import TrainingSetup, TrainingStep
from leakfront.harness.machine.clock import Stopwatch
from leakfront.harness.training.checkpoint import load_checkpoint, save_checkpoint

ENTRIES = 50  # in the record of losses, whatever the number of steps


@dataclass(frozen=True)
class Checkpoints:
    """The folder of the checkpoint, its key, the seconds between two writes, and how the training is made."""

    folder: Path
    key: str
    seconds: float
    made: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class LossRecord:
    """The losses of a training of `steps` steps, as (step, mean loss since the previous entry)."""

    steps: int
    entries: list[tuple[int, float]] = field(default_factory=list)
    recent: list[float] = field(default_factory=list)

    def add(self, step: int, loss: float | None, last: bool = False) -> None:
        """Add the loss of a step. loss: None if its batch was empty. last: whether the training ends there."""
        self.recent += [] if loss is None else [loss]
        if step % max(1, self.steps // ENTRIES) == 0 or step == self.steps or last:
            self.entries.append((step, sum(self.recent) / len(self.recent) if self.recent else math.nan))
            self.recent = []


class CallCounter:
    """Counts the images that pass through a network."""

    def __init__(self, network: nn.Module) -> None:
        self.calls = 0
        self._handle = network.register_forward_pre_hook(self._count)

    def _count(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        self.add(len(arguments[0]))

    def add(self, images: int) -> None:
        self.calls += images

    def remove(self) -> None:
        self._handle.remove()


class TrainingState:
    """Network, moving average, step and records of a training after `done` steps.

    records: the losses of this training, and of the shorter trainings that it includes, by their number of steps.
    """

    def __init__(
        self,
        setup: TrainingSetup,
        network: nn.Module,
        step: TrainingStep,
        counter: CallCounter,
        watch: Stopwatch,
        snapshots: frozenset[int],
    ) -> None:
        self.network, self.step, self.counter = network, step, counter
        self.stopping = setup.stopping
        self.ema = EMAModel(network.parameters(), decay=setup.ema_decay, foreach=True)
        self.records = {steps: LossRecord(steps) for steps in sorted({*snapshots, setup.steps})}
        self.done = 0
        self._device, self._watch, self._earlier_seconds = setup.device, watch, 0.0

    @property
    def seconds(self) -> float:
        """Seconds of training, including those before an interruption."""
        return self._earlier_seconds + self._watch.seconds

    def not_counted(self, seconds: float) -> None:
        """Subtract time from `seconds` that was spent on something else."""
        self._earlier_seconds -= seconds

    def save(self, checkpoints: Checkpoints) -> dict[str, float]:
        """Write a checkpoint; returns the step's report of the steps so far."""
        state = {
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "step": self.step.state_dict(),
            "stopping": self.stopping.state_dict() if self.stopping is not None else {},
            "done": self.done,
            "seconds": self.seconds,
            "model_calls": self.counter.calls,
            "records": {steps: [record.entries, record.recent] for steps, record in self.records.items()},
        }
        save_checkpoint(checkpoints.folder, checkpoints.key, state, checkpoints.made)
        return self.step.report()

    def load(self, checkpoints: Checkpoints) -> None:
        """Resume from the checkpoint, if there is one with the same key.

        A snapshot that was requested only after the training began has no record of the first losses. It is left out,
        and the plan trains that model by itself.
        """
        state = load_checkpoint(checkpoints.folder, checkpoints.key)
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        self.ema.to(self._device)
        self.step.load_state_dict(state["step"])
        if self.stopping is not None:
            self.stopping.load_state_dict(state["stopping"])
        self.done, self._earlier_seconds, self.counter.calls = state["done"], state["seconds"], state["model_calls"]
        self.records = {
            steps: LossRecord(steps, [(step, loss) for step, loss in entries], list(recent))
            for steps, (entries, recent) in state["records"].items()
            if steps in self.records
        }
