"""Stopping the training before the model memorizes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Le

from leakfront.defenses import Defense, TrainingSet, TrainingSetup, register
from leakfront.errors import InputError
from leakfront.models.contract import PerExampleLoss
from leakfront.seeds import derive_seed

if TYPE_CHECKING:
    import torch

FRACTION = 0.5
HELD_OUT_IMAGES, DRAWS = 256, 4  # the most images, and the draws of (timestep, noise) for each


@register("early_stop")
@dataclass(frozen=True)
class EarlyStop(Defense):
    """Stop after `fraction` of the training steps, after `steps` of them, or when the held-out loss stops falling.

    The time to memorize grows with the training set while the time to generate well does not (Bonnaire et al. 2025,
    arXiv 2505.17638), so there is a window between them. No guarantee. Every other defense should beat this baseline.

    With `patience`, the loss on public images is measured every `every` steps, each time at the same timesteps and with
    the same noise. Training ends when `patience` measurements in a row were no better than the best one, and at the
    latest after `steps` (or all steps). `fraction` has no effect then. The loss is the training loss at this place in
    the stack, and it is measured on the network in training. The network that is kept is the moving average at the last
    step, not at the best measurement; it lags behind the network in training.

    The public images have to be held out, so `patience` is useless in a stack with a defense that trains on them. Under
    dp_sgd the stopping step follows from the private weights and public images alone, so the run keeps the epsilon that
    was planned for all its steps. The smaller epsilon of the steps that ran is not proven, since they were chosen by
    looking at the weights.
    """

    acts_on = "training"
    summary = "stop training before the model memorizes"

    fraction: Annotated[float, Gt(0), Le(1)] = FRACTION
    steps: Annotated[int, Ge(1)] | None = None  # None: `fraction` of the steps
    patience: Annotated[int, Ge(1)] | None = None  # measurements; None: stop at a fixed step
    every: Annotated[int, Ge(1)] = 50  # steps between measurements

    def validate(self) -> None:
        if self.patience is not None and self.fraction != FRACTION:
            raise InputError(
                f"early_stop.fraction is {self.fraction}; it has no effect together with patience, so leave it out"
            )

    def snapshot_step(self, steps: int) -> int | None:
        return self._steps_of(steps) if self.patience is None else None

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        setup.steps = self._steps_of(setup.steps)
        if self.patience is not None:
            if not len(setup.public):
                raise InputError(
                    "early_stop.patience needs public images to measure the held-out loss on, but there are none"
                )
            if setup.stopping is not None:
                raise InputError(
                    "early_stop.patience cannot be used, since another defense of the stack already stops early"
                )
            conditions, seed = setup.conditions(setup.public), derive_seed(setup.seed, "held-out loss")
            held_out = HeldOutLoss(setup.public, conditions, setup.loss, setup.device, seed)
            setup.stopping = NoImprovement(held_out, self.patience, self.every)
        return setup

    def relative_cost(self, steps: int, batch_size: int) -> float:
        return self._steps_of(steps) / steps

    def _steps_of(self, steps: int) -> int:
        """The last step that this defense allows in a training of `steps` steps."""
        by_fraction = steps if self.patience is not None else max(1, round(self.fraction * steps))
        return min(steps, self.steps or by_fraction)


class HeldOutLoss:
    """The mean loss of a network on public images, without dropout and at draws that never change."""

    def __init__(
        self, public: TrainingSet, conditions: torch.Tensor, loss: PerExampleLoss, device: str, seed: int
    ) -> None:
        """conditions: int64 [N, ...], of the public images."""
        import torch

        order = torch.randperm(len(public), generator=torch.Generator().manual_seed(seed))[:HELD_OUT_IMAGES]
        self._images = (torch.as_tensor(public.images[order.numpy()]).float() / 127.5 - 1).to(device)
        self._conditions = conditions[order].to(device)
        self._loss, self._seed = loss, seed

    def __call__(self, network: torch.nn.Module) -> float:
        import torch

        generator = torch.Generator().manual_seed(self._seed)
        was_training = network.training
        network.eval()
        with torch.no_grad():
            losses = [self._loss(network, self._images, self._conditions, generator) for _ in range(DRAWS)]
        network.train(was_training)
        return float(torch.cat(losses).double().mean())


class NoImprovement:
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
