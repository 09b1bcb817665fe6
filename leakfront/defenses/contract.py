"""The four places where a defense can act, and the types that it meets there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from leakfront.defenses.training.ranks import ALONE, Ranks

if TYPE_CHECKING:
    import torch

# (network, images float32 [B, C, H, W] in [-1, 1], labels int64 [B], generator) -> loss of each image [B]
PerExampleLoss = Callable[["torch.nn.Module", "torch.Tensor", "torch.Tensor", "torch.Generator"], "torch.Tensor"]
# (batch float32 [B, C, H, W] in [-1, 1], generator) -> the same shape
Augmentation = Callable[["torch.Tensor", "torch.Generator"], "torch.Tensor"]
# indices of the wanted samples [n] -> images float32 [n, C, H, W] in [-1, 1]
Sampler = Callable[[Sequence[int]], "torch.Tensor"]


@dataclass(frozen=True)
class TrainingSet:
    """What a model trains on.

    images: uint8 [N, C, H, W]; labels: int64 [N]; pool_index: int64 [N], the pool image that each is (a copy of).
    """

    images: np.ndarray
    labels: np.ndarray
    pool_index: np.ndarray
    notes: dict[str, float] = field(default_factory=dict)  # what defenses report of their work; becomes rows

    def __len__(self) -> int:
        return len(self.images)

    def select(self, keep: np.ndarray, **notes: float) -> TrainingSet:
        """The subset at `keep` (indices or mask), with `notes` added."""
        return TrainingSet(self.images[keep], self.labels[keep], self.pool_index[keep], notes={**self.notes, **notes})

    @property
    def copies(self) -> int:
        """How many images the pool image has that is there most often."""
        return int(np.unique(self.pool_index, return_counts=True)[1].max(initial=1))


@dataclass(frozen=True)
class Guarantee:
    """A differential-privacy guarantee: (epsilon, delta) by `accountant`, for adding or removing one `unit`.

    group_epsilon: that for adding or removing `group` units at once, as many as the image that is there most often has.
    """

    epsilon: float
    delta: float
    accountant: str
    unit: str = "training image"
    group: int = 1
    group_epsilon: float | None = None  # None for a group of one


class Stopping(Protocol):
    """Ends a training before its last step."""

    def should_stop(self, done: int, network: torch.nn.Module) -> bool:
        """Asked after each step, with the number of steps done and the network as it stands."""

    def state_dict(self) -> dict[str, Any]:
        """All that the next answers depend on; see `TrainingStep.state_dict`."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""


class TrainingStep(Protocol):
    """Draws a batch and updates the network with it; owns the optimizer."""

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        """Indices int64 [B] into the training set for one step; B may vary and may be 0."""

    def update(self, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> float:
        """One optimizer step on float32 images in [-1, 1]; returns the mean loss (nan for an empty batch)."""

    def state_dict(self) -> dict[str, Any]:
        """All state but the network's weights: tensors, numbers, strings, and lists and dicts of them."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""

    def report(self) -> dict[str, float]:
        """Numbers computed from what really ran (epsilon spent, sampling rate, …); becomes rows."""

    def guarantee(self) -> Guarantee | None:
        """The guarantee of what ran so far, if any."""


@dataclass
class TrainingSetup:
    """Everything that decides a training run; a defense changes it in place or returns another.

    network: may be replaced, or changed in place. dataset: what is trained on, of `size` images; expected_size: the
    expectation of that over the coins (public, unlike `size`, which is private under differential privacy). public:
    images outside the pool, for defenses that need some. augment: what the step does to a batch, where `mixes_images`
    says if an image there depends on others. stopping: ends the training early. finish: makes the network that is kept
    of the one that was trained (and of its averaged weights). make_step is called once, after all defenses have had
    their say. seed: for a defense's own random choices. unit: what one image of the dataset is, for a guarantee (see
    `Defense.unit`). ranks: the processes that share each step.
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


@dataclass(frozen=True)
class Serving:
    """A trained model as it is sampled, for defenses that stand between it and its users.

    model: a `leakfront.models.contract.DiffusionModel`. training_images: uint8 [N, C, H, W], what it was trained on.
    make_sampler: the run's sampler of a model (this one, or one changed), whose sample i depends on i alone.
    """

    model: Any
    training_images: np.ndarray
    make_sampler: Callable[[Any], Sampler]


class Defense:
    """A frozen dataclass of parameters with hooks that do nothing unless overridden.

    Class attributes: `name` (set by registration), `acts_on` (data, batches, training or sampling; what acts on
    sampling overrides `guard`, and is attacked twice, as served and with the weights), `covers` (the attackers' access
    levels that its protection holds for), `one_process` (whether its training step cannot be shared among several)
    and `summary` (one line for `leakfront list`).
    """

    name: ClassVar[str]
    acts_on: ClassVar[str] = "nothing"
    one_process: ClassVar[bool] = False
    covers: ClassVar[str] = "samples, loss, gradients"
    summary: ClassVar[str] = ""

    def check(self, expected_size: float, batch_size: int) -> None:
        """Raise `InputError` if it cannot work on a training set of so many images, in batches of so many."""

    def relative_cost(self, steps: int, batch_size: int) -> float:
        """Time of training over that of the undefended run of `steps` x `batch_size`, roughly; for estimates only."""
        return 1.0

    def prepare(self, dataset: TrainingSet) -> TrainingSet:
        """Change the training set before training."""
        return dataset

    def unit(self, unit: str) -> str:
        """What one image stands for after `prepare`, if it stood for `unit` before; a guarantee is given for that."""
        return unit

    def augment(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Change a batch, float32 [B, C, H, W] in [-1, 1], at each step."""
        return batch

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        """Change how the model is trained."""
        return setup

    def guard(self, sampler: Sampler, serving: Serving) -> Sampler:
        """Change how the model is sampled; `sampler` is what the defenses before this one made of it."""
        return sampler
