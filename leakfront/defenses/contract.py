"""The places where a defense can act, and the types that it works with there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from leakfront.defenses.serving import Sampler, Serving
from leakfront.defenses.training.ranks import ALONE, Ranks
from leakfront.models.contract import PerExampleLoss
from leakfront.registry import Plugin

if TYPE_CHECKING:
    import torch

    from leakfront.models.contract import ModelFamily, Words

# (batch float32 [B, C, H, W] in [-1, 1], generator) -> the same shape
Augmentation = Callable[["torch.Tensor", "torch.Generator"], "torch.Tensor"]
# (conditions int64 [B, ...], generator) -> the same shape
Reconditioning = Callable[["torch.Tensor", "torch.Generator"], "torch.Tensor"]


@dataclass(frozen=True)
class TrainingSet:
    """The images that a model trains on.

    images: uint8 [N, C, H, W]. labels: int64 [N]. pool_index: int64 [N], the pool image that each one shows, -1
    for an image from outside the pool. notes: numbers that defenses report about their changes; they become rows.
    captions: N texts, or None if the data has none. subject_of: int64 [P], the subject of each pool image, or None if
    every image stands alone.
    """

    images: np.ndarray
    labels: np.ndarray
    pool_index: np.ndarray
    notes: dict[str, float] = field(default_factory=dict)
    captions: tuple[str, ...] | None = None
    subject_of: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def select(self, keep: np.ndarray, **notes: float) -> TrainingSet:
        """The subset at `keep` (indices or mask), with `notes` added."""
        captions = self.captions and tuple(np.array(self.captions, dtype=object)[keep].tolist())
        return TrainingSet(
            self.images[keep],
            self.labels[keep],
            self.pool_index[keep],
            {**self.notes, **notes},
            captions,
            self.subject_of,
        )

    @property
    def copies(self) -> int:
        """The number of images that the most frequent pool image, or subject, has in the set, at least 1."""
        shown = self.pool_index
        if self.subject_of is not None:
            shown = np.where(shown >= 0, self.subject_of[shown], -1)
        return int(np.unique(shown, return_counts=True)[1].max(initial=1))


ONE_COPY = " (one copy of it)"  # ends the name of a unit of which the training set may have several copies


@dataclass(frozen=True)
class Guarantee:
    """A differential-privacy guarantee: (epsilon, delta) by `accountant`, for adding or removing one `unit`.

    group: the number of images that the most frequent pool image, or subject, has in the training set. group_epsilon:
    the epsilon for adding or removing `group` units at once; None for a group of one. history: (noise multiplier,
    sampling rate, steps) of consecutive stretches of DP-SGD, from which guarantees of several models compose tightly.
    """

    epsilon: float
    delta: float
    accountant: str
    unit: str = "training image"
    group: int = 1
    group_epsilon: float | None = None
    history: tuple[tuple[float, float, int], ...] = ()


class Stopping(Protocol):
    """Ends a training before its last step."""

    def should_stop(self, done: int, network: torch.nn.Module) -> bool:
        """Whether to stop now; called after each step with the number of steps done and the network in training."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that later answers depend on; see `TrainingStep.state_dict`."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that `state_dict` returned."""


class TrainingStep(Protocol):
    """Draws a batch and updates the network with it; owns the optimizer."""

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        """Indices int64 [B] into the training set for one step; B may vary and may be 0."""

    def update(self, images: torch.Tensor, condition: torch.Tensor, generator: torch.Generator) -> float:
        """Take one optimizer step on images, float32 in [-1, 1], with their conditions, int64 [B, ...].

        Returns the mean loss, nan for an empty batch.
        """

    def state_dict(self) -> dict[str, Any]:
        """All state except the network's weights: tensors, numbers, strings, and lists and dicts of them."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that `state_dict` returned."""

    def report(self) -> dict[str, float]:
        """Numbers about the steps that ran (epsilon spent, sampling rate, …); they become rows."""

    def guarantee(self) -> Guarantee | None:
        """The guarantee for the steps that ran, if there is one."""


@dataclass
class TrainingSetup:
    """Everything that decides a training run; a defense changes it in place or returns another one.

    network: may be replaced or changed in place. loss: the training loss of each image. dataset: the training set, of
    `size` images. public: images outside the pool, for defenses that need some. expected_size: the expected size of the
    training set over the coins; it is public, while `size` is private under differential privacy. make_step: makes the
    training step; called once, after all defenses have changed the setup. augment: the step's change of each batch of
    images, recondition: that of their conditions. mixes_images: whether either lets one image depend on others.
    conditions: the conditions int64 [N, ...] of a set of images. stopping: ends the training early. finish: turns
    the network that was trained, or its averaged weights, into the network that is kept. seed: for a defense's own
    random choices. unit: the meaning of one image of the dataset in a guarantee, see `Defense.unit`. ranks: the
    processes that share each step.
    """

    network: torch.nn.Module
    loss: PerExampleLoss
    dataset: TrainingSet
    public: TrainingSet
    expected_size: float
    steps: int
    batch_size: int
    learning_rate: float
    ema_decay: float
    make_step: Callable[[TrainingSetup], TrainingStep]
    augment: Augmentation = field(default=lambda batch, generator: batch)
    recondition: Reconditioning = field(default=lambda condition, generator: condition)
    conditions: Callable[[TrainingSet], torch.Tensor] = field(default=lambda dataset: _labels(dataset))
    mixes_images: bool = False
    weight_decay: float = 0.0
    stopping: Stopping | None = None
    finish: Callable[[torch.nn.Module], torch.nn.Module] = field(default=lambda network: network)
    device: str = "cpu"
    seed: int = 0
    unit: str = "training image"
    ranks: Ranks = ALONE

    @property
    def size(self) -> int:
        """Images in the training set."""
        return len(self.dataset)


def _labels(dataset: TrainingSet) -> torch.Tensor:
    import torch

    return torch.as_tensor(dataset.labels)


class Defense(Plugin):
    """A frozen dataclass of parameters with hooks that do nothing unless overridden.

    Class attributes in addition to those of `Plugin`:

    * `acts_on`: data, batches, training or sampling. A defense that acts on sampling overrides `guard`. It is attacked
      twice: through the samples it serves, and with the weights.
    * `covers`: the attackers' access levels that its protection holds for.
    * `one_process`: whether several processes cannot share its training step.
    * `needs_captions`: whether it works on text models alone.
    * `makes_step`: whether it replaces the training step, so that a stack can have only one of its kind.
    * `makes_sampler`: whether its `guard` replaces the sampler that it gets, so that it must be the first to guard.
    * `private`: whether its guarantee rests on random draws that stay secret. The whole training then draws from the
      run's secret and not from its seed. A training step with a guarantee must come from such a defense.
    """

    acts_on: ClassVar[str] = "nothing"
    covers: ClassVar[str] = "samples, loss, gradients"
    one_process: ClassVar[bool] = False
    private: ClassVar[bool] = False
    needs_captions: ClassVar[bool] = False
    makes_step: ClassVar[bool] = False
    makes_sampler: ClassVar[bool] = False

    def overrides(self, *hooks: str) -> bool:
        """Whether this defense does anything in one of these hooks ("prepare", "augment", "training", "guard", …).

        The harness asks this to know which stages of a run a defense decides: one that overrides neither `prepare` nor
        `augment` nor `recondition` nor `training` leaves the weights as they are without it.
        """
        return any(getattr(type(self), hook) is not getattr(Defense, hook) for hook in hooks)

    def snapshot_step(self, steps: int) -> int | None:
        """The step at which this defense ends a training of `steps` steps, if that is all it does; otherwise None.

        The step must be known before the training, so that the model with this defense is a snapshot of the longer
        training. That holds for a stack if no other defense in it reads `TrainingSetup.steps` (`dp_sgd` does to find
        its noise, `distill` to divide the steps).
        """
        return None

    def check(self, expected_size: float, batch_size: int) -> None:
        """Raise `InputError` if it cannot work with a training set of that expected size and batches of that size."""

    def check_family(self, family: ModelFamily) -> None:
        """Raise `InputError` if it cannot change models of this family."""

    def relative_cost(self, steps: int, batch_size: int) -> float:
        """A rough ratio of training time to that of the undefended training of `steps` x `batch_size` images.

        Only estimates of a run's duration use it.
        """
        return 1.0

    def prepare(self, dataset: TrainingSet) -> TrainingSet:
        """Change the training set before training."""
        return dataset

    def unit(self, unit: str) -> str:
        """The unit of a guarantee after `prepare`, where one image stood for `unit` before it."""
        return unit

    def augment(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Change a batch, float32 [B, C, H, W] in [-1, 1], at each step."""
        return batch

    def recondition(self, condition: torch.Tensor, words: Words | None, generator: torch.Generator) -> torch.Tensor:
        """Change the conditions of a batch, int64 [B, ...], at each step; words: how they spell captions, if they do.

        It keeps the shape; the generator is on the CPU.
        """
        return condition

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        """Change how the model is trained."""
        return setup

    def guard(self, sampler: Sampler, serving: Serving) -> Sampler:
        """Change how the model is sampled; `sampler` comes from the defenses before this one."""
        return sampler
