"""Changes of what the model is asked with. `Queries` computes the predictions for equal changes once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from leakfront.models.contract import DiffusionModel


class Given(Protocol):
    """What stands in place of each image's own condition: any frozen dataclass with this method."""

    def __call__(self, model: DiffusionModel, condition: torch.Tensor, captions: Sequence[str] | None) -> torch.Tensor:
        """Conditions int64 [N, ...] in place of `condition`, of the same shape; captions: the N own texts, if any."""


@dataclass(frozen=True)
class Null:
    """The condition that says nothing, such as the empty caption."""

    def __call__(self, model: DiffusionModel, condition: torch.Tensor, captions: Sequence[str] | None) -> torch.Tensor:
        if model.null is None:
            raise ValueError("this model knows no condition that says nothing")
        return model.null.to(condition.device).expand_as(condition)


@dataclass(frozen=True)
class Third:
    """The first, middle or last third of a caption's words, for part 0, 1 or 2; empty if there are too few words."""

    part: int

    def __call__(self, model: DiffusionModel, condition: torch.Tensor, captions: Sequence[str] | None) -> torch.Tensor:
        if captions is None:
            raise ValueError("the images have no captions")
        labels = condition.new_zeros(len(condition))
        return model.conditions(labels, [third(caption, self.part) for caption in captions])


def third(caption: str, part: int) -> str:
    """A third of a caption's words, which are what stands between spaces; part: 0, 1 or 2."""
    words = caption.split()
    return " ".join(words[len(words) * part // 3 : len(words) * (part + 1) // 3])
