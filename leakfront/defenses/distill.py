"""Distillation in which no image is learned from a teacher that saw it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt, Lt

from leakfront.defenses import Defense, TrainingSetup, TrainingStep, register
from leakfront.errors import InputError


@register("distill")
@dataclass(frozen=True)
class Distill(Defense):
    """DistillMD: Dual-Model Defense (Tran, Nguyen, Tran and Tran 2024, arXiv 2410.16657).

    The training set is split into two random halves; all copies of a pool image are in the same half. In the first
    `teacher_share` of the steps, two teachers are trained, each on its own half, with half a batch per step. In the
    other steps, a student is trained on all images. For an image of one half it learns from the teacher of the other
    half: its loss is |student(x_t, t) - teacher(x_t, t)|^2, where the usual loss has the true noise instead of the
    teacher. So the target at an image never comes from a network that was fitted to it. The student is kept.

    All three networks start from the same fresh weights. The student learns from the moving averages of the teachers'
    weights over the teachers' steps; an undefended model is averaged in the same way. The student's moving average also
    runs through the teachers' steps, in which its weights are fresh. After N steps the fresh weights would have a share
    of about teacher_share^9 in it while N is below 9 / (1 - ema_decay), and a smaller one later (0.2% at 0.5, 4% at
    0.7). This share is tracked by averaging a number alongside the weights. It is removed at the end, like the bias
    correction of Adam.

    No guarantee: the student is still trained at the images themselves, a teacher can pass on images that it memorized,
    and an image that is in both halves under two pool indices is not protected.

    Cost: each update uses as many images as without the defense. The targets add to this: in total about 1.2 times the
    time, measured on 28x28 pixels in batches of 64, and 1.5 times on 8x8. Three networks are held in memory.

    It replaces the training step, so it cannot be stacked with another defense that does so (dp_sgd), nor with one that
    can end the training before the student is trained. If another defense changes the loss (and not only its inputs),
    the change affects the teachers alone, since the student has only the loss above.
    """

    acts_on = "training"
    one_process = True
    makes_step = True
    summary = "two teachers on disjoint halves; a student learns each image from the teacher that never saw it"

    teacher_share: Annotated[float, Gt(0), Lt(1)] = 0.5

    def check(self, expected_size: float, batch_size: int) -> None:
        if batch_size < 2:
            raise InputError(f"batch_size is {batch_size}; under distill it must be at least 2, one for each teacher")

    def relative_cost(self, steps: int, batch_size: int) -> float:
        # a forward pass without gradients is about a third of a training step
        return 1 + (1 - self.teacher_share) / 3

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        from leakfront.defenses.training.distill_step import StudentAndTeachers
        from leakfront.defenses.training.plain_step import PlainStep

        if setup.make_step is not PlainStep:
            raise InputError(
                "distill cannot be stacked with another defense that replaces the training step, such as dp_sgd"
            )
        network, earlier = StudentAndTeachers(setup.network), setup.finish
        fresh = [parameter.detach().clone() for parameter in setup.network.parameters()]
        setup.network = network.to(setup.device).train()
        setup.finish = lambda trained: earlier(network.finish(trained, fresh))
        setup.make_step = self._make_step
        return setup

    def _make_step(self, setup: TrainingSetup) -> TrainingStep:
        from leakfront.defenses.training.distill_step import DistillStep

        self.check(setup.expected_size, setup.batch_size)
        return DistillStep(setup, self.teacher_share)
