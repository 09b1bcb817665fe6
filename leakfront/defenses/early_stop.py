"""Stopping before the model memorizes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from leakfront.defenses import Defense, TrainingSet, TrainingSetup, register
from leakfront.errors import InputError
from leakfront.seeds import derive_seed

if TYPE_CHECKING:
    import torch

    from leakfront.defenses.contract import PerExampleLoss

FRACTION = 0.5
HELD_OUT_IMAGES, DRAWS = 256, 4  # at most so many images, each at so many draws of (timestep, noise)


@register("early_stop")
@dataclass(frozen=True)
class EarlyStop(Defense):
    """Stop after `fraction` of the training steps, after `steps` of them, or where held-out loss turns.

    The time to memorize grows with the training set while the time to generate well does not (Bonnaire et al. 2025,
    arXiv 2505.17638), so there is a window between them. No guarantee; the baseline that any other defense must beat.

    With `patience`, the loss on public images is measured every `every` steps, each time at the same timesteps and
    with the same noise, and training ends when `patience` measurements in a row were no better than the best one; at
    the latest after `steps`, or all steps (`fraction` then has no say). The loss is the one that is trained with where
    this defense stands in the stack, and the network is the one in training. The network that is kept, its moving
    average, lags behind it, and is the one of the last step, not of the best measurement.

    The public images have to be held out: this form is of no use beside a defense that trains on them. Under dp_sgd
    where to stop follows from private weights and public images alone, so the run as a whole keeps the epsilon that
    it was planned for; the smaller one of the steps that ran is not proven for a step chosen by looking.
    """

    acts_on = "training"
    summary = "stop training before the model memorizes"

    fraction: float = FRACTION
    steps: int | None = None
    patience: int | None = None  # measurements; None: stop at a fixed step
    every: int = 50  # steps between measurements

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise InputError(f"early_stop.fraction is {self.fraction}; it must lie in (0, 1]")
        for key in ("steps", "patience", "every"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise InputError(f"early_stop.{key} is {value}; it must be at least 1")
        if self.patience is not None and self.fraction != FRACTION:
            raise InputError(
                f"early_stop.fraction is {self.fraction}; it has no say beside patience and must be left out"
            )

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        setup.steps = self._steps_of(setup.steps)
        if self.patience is not None:
            if not len(setup.public):
                raise InputError("early_stop.patience needs public images to measure held-out loss on; there are none")
            if setup.stopping is not None:
                raise InputError("early_stop.patience cannot be used: another defense already ends this training")
            held_out = HeldOutLoss(setup.public, setup.loss, setup.device, derive_seed(setup.seed, "held-out loss"))
            setup.stopping = WhereLossTurns(held_out, self.patience, self.every)
        return setup

    def relative_cost(self, steps: int, batch_size: int) -> float:
        return self._steps_of(steps) / steps

    def _steps_of(self, steps: int) -> int:
        by_fraction = steps if self.patience is not None else max(1, round(self.fraction * steps))
        return min(steps, self.steps or by_fraction)


class HeldOutLoss:
    """The mean loss of a network, as it is sampled (without dropout), on public images at draws that never change."""

    def __init__(self, public: TrainingSet, loss: PerExampleLoss, device: str, seed: int) -> None:
        import torch

        order = torch.randperm(len(public), generator=torch.Generator().manual_seed(seed))[:HELD_OUT_IMAGES]
        self._images = (torch.as_tensor(public.images[order.numpy()]).float() / 127.5 - 1).to(device)
        self._labels = torch.as_tensor(public.labels[order.numpy()]).to(device)
        self._loss, self._seed = loss, seed

    def __call__(self, network: torch.nn.Module) -> float:
        import torch

        generator = torch.Generator().manual_seed(self._seed)
        was_training = network.training
        network.eval()
        with torch.no_grad():
            losses = [self._loss(network, self._images, self._labels, generator) for _ in range(DRAWS)]
        network.train(was_training)
        return float(torch.cat(losses).double().mean())


class WhereLossTurns:
    """Stops when `patience` measurements in a row were no better than the best; see `Stopping`."""

    def __init__(self, held_out: HeldOutLoss, patience: int, every: int) -> None:
        self._held_out, self._patience, self._every = held_out, patience, every
        self._best, self._since = math.inf, 0

    def should_stop(self, done: int, network: torch.nn.Module) -> bool:
        if done % self._every:
            return False
        value = self._held_out(network)
        self._best, self._since = (value, 0) if value < self._best else (self._best, self._since + 1)
        return self._since >= self._patience

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "since": self._since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best, self._since = float(state["best"]), int(state["since"])
