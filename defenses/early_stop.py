"""Stopping before the model memorizes."""

from __future__ import annotations

from dataclasses import dataclass

from defenses import Defense, TrainingSetup, register
from leakfront.errors import InputError


@register("early_stop")
@dataclass(frozen=True)
class EarlyStop(Defense):
    """Stop after `fraction` of the training steps, or after `steps` of them if that is given.

    The time to memorize grows with the training set while the time to generate well does not (Bonnaire et al. 2025,
    arXiv 2505.17638), so there is a window between them. No guarantee; the baseline that any other defense must beat.
    """

    acts_on = "training"
    summary = "stop training before the model memorizes"

    fraction: float = 0.5
    steps: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise InputError(f"early_stop.fraction is {self.fraction}; it must lie in (0, 1]")
        if self.steps is not None and self.steps < 1:
            raise InputError(f"early_stop.steps is {self.steps}; it must be at least 1")

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        setup.steps = self._steps_of(setup.steps)
        return setup

    def relative_cost(self, steps: int, batch_size: int) -> float:
        return self._steps_of(steps) / steps

    def _steps_of(self, steps: int) -> int:
        return min(steps, self.steps or max(1, round(self.fraction * steps)))
