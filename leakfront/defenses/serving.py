"""A trained model as it is served: the sampler between it and its users, which defenses can guard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch

# indices of the wanted samples [n] -> images float32 [n, C, H, W] in [-1, 1]
Sampler = Callable[[Sequence[int]], "torch.Tensor"]
# indices of samples [n] -> their conditions int64 [n, ...], or what the model's `embed` returns for these
Conditions = Callable[[Sequence[int]], "torch.Tensor"]

# indices of samples [n] -> what they start from, float32 [n, C, H, W]
Start = Callable[[Sequence[int]], "torch.Tensor"]


class MakeSampler(Protocol):
    """Makes the run's sampler."""

    def __call__(self, model: Any, conditions: Conditions | None = None, start: Start | None = None, /) -> Sampler:
        """The sampler of a model (the served one or a changed one); sample i depends on i alone.

        conditions: from the indices of samples [n] to their conditions, int64 [n, ...], or what `embed` returns for
        these; by default those that were asked for. start: from the indices to the noise that samples start from; by
        default their own, `Prompts.start`.
        """


@dataclass(frozen=True)
class Prompts:
    """What a text model is asked for, and what its guards may compare with.

    model: the model without the run's guidance, on `device`. conditions: those that are asked for, by the indices of
    samples. public: the conditions int64 [M, L] of captions from outside the pool. start: the noise that samples start
    from, float32 [n, C, H, W] on the device, by their indices. first: the timestep where they start. seed: theirs.
    guidance: the scale of the run's guidance. training: the conditions int64 [N, L] of `Serving.training_images`.
    """

    model: Any
    conditions: Conditions
    public: torch.Tensor
    start: Start
    first: int
    seed: int
    device: str = "cpu"
    guidance: float = 1.0
    training: torch.Tensor | None = None


@dataclass(frozen=True)
class Serving:
    """A trained model and its sampler, for defenses that act between the model and its users.

    model: a `leakfront.models.contract.DiffusionModel`, with the run's guidance. training_images: uint8 [N, C, H, W],
    the images it was trained on. make_sampler: makes the run's sampler. period: sample i is asked for the condition of
    sample i modulo this number; None for the number of the model's classes. prompts: of a text model, else None.
    """

    model: Any
    training_images: np.ndarray
    make_sampler: MakeSampler
    period: int | None = None
    prompts: Prompts | None = None
