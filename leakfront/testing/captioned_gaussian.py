"""A text model that memorizes no pair, known in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from leakfront.models.gaussian import GaussianDiffusion
from leakfront.models.text.word_codes import BITS, WordCodes

if TYPE_CHECKING:
    from collections.abc import Mapping

LENGTH = 20  # of a condition


class CaptionedGaussian(GaussianDiffusion):
    """The Gaussian of some images, whose mean m + G (mean over words of y - y_null) follows the caption's embedding y.

    G is fixed and random, with entries of about 0.1. So captions steer every prediction, and all of them alike.
    """

    def __init__(self, images: torch.Tensor) -> None:
        """images: float32 [N, C, H, W] in [-1, 1]."""
        super().__init__((images.shape[1], images.shape[2], images.shape[3]), 1000)
        self._codes = WordCodes(LENGTH, torch.arange(2, 50))
        self.words, self.null = self._codes.words, self._codes.null
        generator = torch.Generator().manual_seed(0)
        self._steering = 0.1 * torch.randn(BITS, images[0].numel(), generator=generator, dtype=torch.float64)
        self.fit(images)

    def conditions(self, labels: torch.Tensor, captions: Sequence[str] | None) -> torch.Tensor:
        return self._codes.tokens(captions if captions is not None else [""] * len(labels)).to(labels.device)

    def embed(self, condition: torch.Tensor) -> torch.Tensor:
        return self._codes.embed(condition)

    def predict_with(
        self, parameters: Mapping[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None
    ) -> torch.Tensor:
        given = self.conditions(t, None) if condition is None else condition
        embedding = given if given.is_floating_point() else self.embed(given)
        away = (embedding.cpu().double() - self.embed(self._codes.null)).mean(1) @ self._steering
        return super().predict_with({**parameters, "mean": parameters["mean"] + away}, x_t, t, None)
