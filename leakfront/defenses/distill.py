"""Distillation from teachers that never saw the image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from leakfront.defenses import Defense, register
from leakfront.errors import InputError

if TYPE_CHECKING:
    from leakfront.defenses import TrainingSetup


@register("distill")
@dataclass(frozen=True)
class Distill(Defense):
    """DistillMD: Dual-Model Defense (Tran, Nguyen, Tran and Tran 2024, arXiv 2410.16657).

    The training set is cut into two random halves; all copies of one pool image are in the same half. In the first
    `teacher_share` of the steps, two teachers are trained, each on half a batch of its own half. In the rest, a student
    is trained on all images, but for an image of one half it learns from the teacher of the other half: its loss is
    |student(x_t, t) - teacher(x_t, t)|^2, where the usual loss has the true noise in the teacher's place. So nothing
    that was fitted to an image is ever a target at that image. The student is what is kept.

    All three start from the same fresh weights. The teachers that are learned from are the moving averages of their
    weights over the teachers' steps, as an undefended model is. The student's moving average runs through the teachers'
    steps as well, where its weights are fresh: after N steps they would still have a share of about teacher_share^9 in
    it while N is below 9 / (1 - ema_decay), and less after (0.2% at 0.5, 4% at 0.7). That share is measured on a number
    that is averaged along, and taken out at the end, as Adam takes the start out of its averages.

    No guarantee: the student still asks at the images themselves, a teacher can hand on what it memorized of its half,
    and an image that is in both halves under two pool indices is not protected. Cost: the update of each step is made
    with as many images as without the defense; the targets come on top (in all about 1.2 times the time, measured on
    28x28 pixels in batches of 64, and 1.5 times on 8x8), and three networks are held in memory. It replaces the
    training step, so it cannot be stacked with another defense that does (dp_sgd), nor with one that may end the
    training before the student is trained. The student has no other loss than the one above: what another defense
    changed about the loss (but for its inputs) works on the teachers alone.
    """

    acts_on = "training"
    one_process = True
    summary = "two teachers on disjoint halves, and a student that learns each image from the one that never saw it"

    teacher_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.teacher_share < 1:
            raise InputError(f"distill.teacher_share is {self.teacher_share}; it must lie between 0 and 1")

    def check(self, expected_size: float, batch_size: int) -> None:
        if batch_size < 2:
            raise InputError(f"batch_size is {batch_size}; under distill it must be at least 2, one for each teacher")

    def relative_cost(self, steps: int, batch_size: int) -> float:
        # a forward pass without gradients is about a third of a training step
        return 1 + (1 - self.teacher_share) / 3

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        from leakfront.defenses.training.distill_step import DistillStep, StudentAndTeachers
        from leakfront.defenses.training.plain_step import PlainStep

        if setup.make_step is not PlainStep:
            raise InputError(
                "distill cannot be stacked with another defense that replaces the training step, such as dp_sgd"
            )
        network, earlier = StudentAndTeachers(setup.network), setup.finish
        fresh = [parameter.detach().clone() for parameter in setup.network.parameters()]
        setup.network = network.to(setup.device).train()
        setup.finish = lambda trained: earlier(network.finish(trained, fresh))
        setup.make_step = partial(DistillStep, defense=self)
        return setup
