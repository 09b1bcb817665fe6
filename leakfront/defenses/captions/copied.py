"""Guidance away from the caption of the training image that a prediction copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.defenses.filter import TrainingImages, adaptive_ratio
from leakfront.defenses.serving import Prompts

if TYPE_CHECKING:
    import torch

LESS, AWAY = 0.5, 0.3  # the copy scores from which on guidance is gone, and the push away at its strongest


class AwayFromCopiedCaptions:
    """A text model whose guidance gives way where its prediction copies a training image (Chen, Liu and Xu 2024, arXiv
    2404.00922; the formulas of their code for Stable Diffusion).

    Let s = 1 - r / threshold be the copy score of a predicted image, where that is above 0, and v = w - 1 for guidance
    of scale w. The scale falls by g = min(v, v s / 0.5), and the prediction moves away from the caption n of the image
    that is copied: eps = eps_null + (w - g)(eps_c - eps_null) + min(v - g, (v - g) s / 0.3)(eps_null - eps_n).
    r: the ratio to the `known` images, see `leakfront.defenses.filter`.
    """

    def __init__(self, prompts: Prompts, known: TrainingImages, threshold: float) -> None:
        assert prompts.training is not None
        self._model, self._scale, self._threshold = prompts.model, prompts.guidance, threshold
        self._known, self._captions = known, prompts.training[known.first]
        self._null: torch.Tensor | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """The noise prediction with guidance for x_t [N, C, H, W] and the embeddings of N conditions."""
        import torch

        if self._null is None:
            self._null = self._model.embed(self._model.null[None].to(x_t.device))
        null = self._null.expand_as(condition)
        both = self._model.predict_noise(torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([condition, null]))
        given, plain = both.chunk(2)
        noise: torch.Tensor = plain + self._scale * (given - plain)
        score, nearest = self._copied(x_t, t, noise)
        rows = (score > 0).nonzero().flatten()
        if self._threshold == 0 or not len(rows):
            return noise
        captions = self._model.embed(self._captions.to(x_t.device)[nearest[rows]])
        copied = self._model.predict_noise(x_t[rows], t[rows], captions)
        s, most = score[rows, None, None, None], max(self._scale - 1, 0.0)
        less = (most / LESS * s).clamp(max=most)
        away = torch.minimum(most - less, (most - less) / AWAY * s)
        steered = plain[rows] + (self._scale - less) * (given[rows] - plain[rows]) + away * (plain[rows] - copied)
        return noise.index_copy(0, rows, steered)

    def _copied(self, x_t: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The copy score [N] of the predicted images, 0 or less where nothing is copied; and the nearest images [N]."""
        alpha_bar = self.alphas_cumprod.to(x_t.device)[t][:, None, None, None]
        x_0 = ((x_t - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()).clamp(-1, 1)
        distances, indices = self._known.nearest(x_0.flatten(1) / 2 + 0.5)
        return 1 - adaptive_ratio(distances) / max(self._threshold, float(np.finfo(np.float32).tiny)), indices[:, 0]
