"""The networks and the training step of DistillMD: first two teachers, each on its own half, then the student."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers.training_utils import EMAModel
from torch import nn

from leakfront.defenses.contract import Guarantee, TrainingSetup
from leakfront.defenses.training.plain_step import make_optimizer
from leakfront.errors import InputError
from leakfront.seeds import derive_seed


def halves_of(pool_index: np.ndarray, seed: int) -> np.ndarray:
    """The half, 0 or 1, of each image, int64 [N]; images with the same `pool_index` [N] are in the same half.

    Each half has half of the distinct indices; the first half has one more if their number is odd.
    """
    distinct = np.random.default_rng(seed).permutation(np.unique(pool_index))
    return np.isin(pool_index, distinct[(len(distinct) + 1) // 2 :]).astype(np.int64)


class StudentAndTeachers(nn.Module):
    """Three networks that start from the same weights; the argument `through` of a call selects one of them.

    untrained: 1 until the student's training begins and 0 afterwards, so that its moving average is the share of the
    fresh weights in the student's moving average.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.student = network
        self.teachers = nn.ModuleList([copy.deepcopy(network), copy.deepcopy(network)])
        self.untrained = nn.Parameter(torch.ones(1))  # never gets a gradient, so no optimizer changes it

    def forward(self, *arguments: Any, through: nn.Module | None = None, **options: Any) -> Any:
        if through is None:
            raise InputError(
                "distill trains three networks by its own step; it cannot be stacked with a later defense that uses "
                "the network in training, such as dp_sgd"
            )
        return through(*arguments, **options)

    @staticmethod
    @torch.no_grad()
    def finish(averaged: nn.Module, fresh: Sequence[torch.Tensor]) -> nn.Module:
        """The student of the averaged networks, without the share s of its fresh weights: (mean - s fresh) / (1 - s).

        This is the average over the student's own steps, weighted as in the moving average.
        """
        assert isinstance(averaged, StudentAndTeachers)
        share = averaged.untrained.item()
        for parameter, start in zip(averaged.student.parameters(), fresh, strict=True):
            start = start.to(parameter.device)
            parameter.copy_((parameter.double() - share * start.double()) / (1 - share))
        return averaged.student


class DistillStep:
    """Plain batches and Adam, for two teachers and then a student. See `leakfront.defenses.distill.Distill`.

    Raises `InputError` for a setup without the networks of `Distill.training`, with an early end, with fewer than 2
    steps or with fewer than 2 different images.
    """

    def __init__(self, setup: TrainingSetup, teacher_share: float) -> None:
        """teacher_share: the share of the steps that trains the teachers, between 0 and 1."""
        if not isinstance(setup.network, StudentAndTeachers):
            raise InputError("distill cannot be stacked with a later defense that replaces the network")
        if setup.stopping is not None:
            raise InputError("distill cannot be stacked with a defense that can end the training early")
        if setup.steps < 2:
            raise InputError(
                f"training.steps is {setup.steps}; distill needs at least 2, for the teachers and for the student"
            )
        if len(np.unique(setup.dataset.pool_index)) < 2:
            raise InputError("distill needs at least two different training images, one for each teacher")
        self._setup = setup
        self._network = setup.network
        self.teacher_steps = min(max(1, round(teacher_share * setup.steps)), setup.steps - 1)
        self.half = torch.as_tensor(halves_of(setup.dataset.pool_index, derive_seed(setup.seed, "distill")))
        self._rows = [(self.half == h).nonzero().flatten() for h in (0, 1)]
        self._of_first = 0  # number of images of the first half in the student's batch; they come first
        self._done = 0
        self.optimizer = make_optimizer(setup)  # for all three networks; weights without a gradient do not change
        self._average = EMAModel(self._network.teachers.parameters(), decay=setup.ema_decay, foreach=True)

    @property
    def _teaching(self) -> bool:
        return self._done < self.teacher_steps

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        """Indices of the first half, then of the second: equally many for the teachers, as drawn for the student."""
        size = self._setup.batch_size
        if self._teaching:
            wanted = zip(self._rows, ((size + 1) // 2, size // 2), strict=True)
            return torch.cat([rows[torch.randint(len(rows), (n,), generator=generator)] for rows, n in wanted])
        indices = torch.randint(self._setup.size, (size,), generator=generator)
        indices = indices[self.half[indices].argsort(stable=True)]
        self._of_first = int((self.half[indices] == 0).sum())
        return indices

    def update(self, images: torch.Tensor, condition: torch.Tensor, generator: torch.Generator) -> float:
        if self._done == self.teacher_steps:
            self._begin_student()
        self._network.teachers.train(self._teaching)  # the targets have no dropout
        images = self._setup.augment(images, generator)
        condition = self._setup.recondition(condition, generator)
        measure = self._teachers_losses if self._teaching else self._students_losses
        losses = measure(images, condition, generator)
        loss = torch.cat(losses).mean()
        # a teacher trains on the mean over its own half of the batch, the student on the mean over the whole batch
        wanted = torch.stack([of_half.mean() for of_half in losses]).sum() if self._teaching else loss
        self.optimizer.zero_grad()
        torch.autograd.backward(wanted)
        self.optimizer.step()
        if self._teaching:
            self._average.step(self._network.teachers.parameters())
        self._done += 1
        return loss.item()

    def _teachers_losses(
        self, images: torch.Tensor, condition: torch.Tensor, generator: torch.Generator
    ) -> list[torch.Tensor]:
        """The losses of the first teacher and those of the second."""
        first, losses = (len(images) + 1) // 2, []
        for half, rows in enumerate((slice(None, first), slice(first, None))):
            teacher = _Through(self._network, self._network.teachers[half])
            losses.append(self._setup.loss(teacher, images[rows], condition[rows], generator))
        return losses

    def _students_losses(
        self, images: torch.Tensor, condition: torch.Tensor, generator: torch.Generator
    ) -> list[torch.Tensor]:
        """The mean squared differences to the teacher of the other half, at the inputs that the loss would use."""
        recorder = _Recorder()
        self._setup.loss(recorder, images, condition, generator)  # its value, which uses the true noise, is not used
        losses = []
        for arguments, options in recorder.calls:
            if len(arguments[0]) != len(images):
                raise InputError(
                    "distill cannot be stacked with a defense whose loss calls the network on parts of a batch"
                )
            with torch.no_grad():
                wanted = self._targets(arguments, options)
            (output,) = self._network(*arguments, through=self._network.student, **options)
            losses.append((output - wanted).square().flatten(1).mean(1))
        return losses

    def _targets(self, arguments: tuple[Any, ...], options: dict[str, Any]) -> torch.Tensor:
        """The output of the other half's teacher for each image; tensors in `arguments` have one row per image."""
        first, outputs = self._of_first, []
        for half, rows in enumerate((slice(None, first), slice(first, None))):
            inputs = [value[rows] if isinstance(value, torch.Tensor) else value for value in arguments]
            if len(inputs[0]):
                outputs += self._network(*inputs, through=self._network.teachers[1 - half], **options)
        return torch.cat(outputs)

    @torch.no_grad()
    def _begin_student(self) -> None:
        self._average.copy_to(self._network.teachers.parameters())
        self._network.untrained.zero_()

    def state_dict(self) -> dict[str, Any]:
        average = self._average.state_dict() if self._done <= self.teacher_steps else None
        return {"optimizer": self.optimizer.state_dict(), "done": self._done, "average": average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self._done = state["done"]
        if state["average"] is not None:
            self._average.load_state_dict(state["average"])
            self._average.to(self._setup.device)

    def report(self) -> dict[str, float]:
        return {
            "teacher_steps": float(min(self._done, self.teacher_steps)),
            "student_steps": float(max(self._done - self.teacher_steps, 0)),
            "images_of_first_teacher": float(len(self._rows[0])),
            "images_of_second_teacher": float(len(self._rows[1])),
        }

    def guarantee(self) -> Guarantee | None:
        return None


class _Through(nn.Module):
    """Calls one of the networks through the common module, whose hooks count the calls."""

    def __init__(self, networks: StudentAndTeachers, chosen: nn.Module) -> None:
        super().__init__()
        self._networks, self._chosen = networks, chosen

    def forward(self, *arguments: Any, **options: Any) -> Any:
        return self._networks(*arguments, through=self._chosen, **options)


class _Recorder(nn.Module):
    """Stands in for a network and records the arguments that a loss calls it with."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def forward(self, *arguments: Any, **options: Any) -> Any:
        self.calls.append((arguments, options))
        return (torch.zeros_like(arguments[0]),)
