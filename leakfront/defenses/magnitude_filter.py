"""Training examples that a model already follows too strongly are left out of their batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt, Lt

from leakfront.defenses import Defense, TrainingSetup, TrainingStep, register
from leakfront.errors import InputError

QUANTILE = 0.9


@register("magnitude_filter")
@dataclass(frozen=True)
class MagnitudeFilter(Defense):
    """Leave out of each batch the pairs whose caption steers too strongly (Wen et al. 2024, "Detecting, Explaining, and
    Mitigating Memorization in Diffusion Models", arXiv 2407.21720; the form is that of its code).

    At each step, the network's output is computed for the captions and for the empty one, at the same x_t and t. Pairs
    with ||output(x_t, t, c) - output(x_t, t, null)||_2 of the threshold or more do not count; the loss is the mean over
    the others. If none is left, the weights stay as they are.

    The source's threshold is 2, for Stable Diffusion's latents. Here it is the `quantile` of the magnitudes in the
    first epoch, in which nothing is left out; a `threshold` takes its place from the first step. Pairs whose caption
    was replaced by the empty one for guidance have magnitude 0: they always count, and are not part of the quantile.

    No guarantee: what is left out depends on the private data. So it cannot be stacked with private training, nor with
    another defense that replaces the training step. A magnitude depends on the timestep, and most on small ones. It
    costs a forward pass a step, about a third more.
    """

    acts_on = "training"
    covers = "samples, loss, gradients"
    summary = "leave training pairs out of a batch whose caption steers too strongly"
    needs_captions = True
    one_process = True
    makes_step = True

    quantile: Annotated[float, Gt(0), Lt(1)] = QUANTILE
    threshold: Annotated[float, Gt(0)] | None = None  # None: the quantile

    def validate(self) -> None:
        if self.threshold is not None and self.quantile != QUANTILE:
            raise InputError(
                f"magnitude_filter.quantile is {self.quantile}; it has no effect together with threshold, so leave it "
                "out"
            )

    def relative_cost(self, steps: int, batch_size: int) -> float:
        return 4 / 3

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        from leakfront.defenses.training.plain_step import PlainStep

        if setup.make_step is not PlainStep:
            raise InputError("magnitude_filter cannot be stacked with another defense that replaces the training step")
        setup.make_step = self._make_step
        return setup

    def _make_step(self, setup: TrainingSetup) -> TrainingStep:
        from leakfront.defenses.training.filtered_step import FilteredStep

        return FilteredStep(setup, self.quantile, self.threshold)
