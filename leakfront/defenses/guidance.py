"""Anti-memorization guidance while sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from leakfront.defenses import Defense, register
from leakfront.defenses.filter import ALPHA, FilteredSampler, TrainingImages, adaptive_ratio
from leakfront.errors import InputError

if TYPE_CHECKING:
    import torch

    from leakfront.defenses import Sampler, Serving

SAME = 1e-3  # root mean square distance, a quarter of a grey level, below which a prediction is the training image


@register("guidance")
@dataclass(frozen=True)
class Guidance(Defense):
    """Anti-memorization guidance (Chen, Liu and Xu 2024, "Towards Memorization-Free Diffusion Models", arXiv
    2404.00922): its dissimilarity guidance, the one of its three kinds that needs no captions.

    At each step, let x_0 be the predicted image, clipped to [-1, 1], and r its ratio to the training images as in
    `filter` (the negative of the paper's similarity): l2 to the nearest one, n, over 0.5 x the mean l2 to the
    `neighbours` nearest. Where r is below `threshold`, x_0 is moved away from n along the gradient of l2, by `scale`
    times what l2 lacks: x_0 + scale (threshold / r - 1) (x_0 - n). The noise handed to the sampler is the one that
    belongs to the moved x_0, clipped again, so that the sampler's own clipping undoes nothing. A prediction that is n
    itself has no gradient; it is moved towards the mean of its other neighbours by the same distance.

    It differs from the paper in that last sentence and in three more things. The gradient is taken at the prediction
    instead of through the network, which would cost a backward pass. The push is a share of the gap to the threshold,
    instead of the gap times a constant found for each data set. The threshold is the same at all steps, where the
    paper's follows a schedule (in its released code for CIFAR-10 from 1.95 to 1.5 in the last steps, on noised images).

    No guarantee. What is pushed off a training image can still show much of it, and a solver that extrapolates from
    earlier steps (DPM-Solver++) brings some samples back. A stack must name it before `filter`, and before any other
    defense that guards the sampler, since it changes the model and makes the sampler anew. Whoever holds the weights
    samples without it. It costs a search through the training images at every step, and the training set wherever the
    model is served.
    """

    acts_on = "sampling"
    covers = "samples as served; nothing with the weights"
    summary = "push predictions away from the nearest training image while sampling"

    threshold: float = 1.0
    scale: float = 1.0
    neighbours: int = 50

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1 / ALPHA:
            raise InputError(f"guidance.threshold is {self.threshold}; it must lie in [0, 2], where 0 guides nothing")
        if self.scale < 0:
            raise InputError(f"guidance.scale is {self.scale}; it must not be negative")
        if self.neighbours < 2:
            raise InputError(f"guidance.neighbours is {self.neighbours}; it must be at least 2")

    def guard(self, sampler: Sampler, serving: Serving) -> Sampler:
        if isinstance(sampler, FilteredSampler):
            raise InputError("guidance changes the model that filter draws from; put it before filter in the stack")
        known = TrainingImages(serving.training_images, self.neighbours)
        return serving.make_sampler(GuidedModel(serving.model, known, self.threshold, self.scale))


class GuidedModel:
    """A model whose predictions keep their distance from the `known` images; see `Guidance`."""

    def __init__(self, model: Any, known: TrainingImages, threshold: float, scale: float) -> None:
        self._model, self._known, self._threshold, self._scale = model, known, threshold, scale
        self.image_shape, self.alphas_cumprod = model.image_shape, model.alphas_cumprod
        self.classes, self.network = model.classes, model.network

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """The model's prediction, changed for the images of the batch that are guided at this step."""
        noise: torch.Tensor = self._model.predict_noise(x_t, t, labels)
        alpha_bar = self.alphas_cumprod.to(x_t.device)[t][:, None, None, None]
        x_0 = ((x_t - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()).clamp(-1, 1)
        moved, guided = self._away(x_0.flatten(1) / 2 + 0.5)
        x_0[guided] = (moved[guided] * 2 - 1).clamp(-1, 1).reshape(-1, *self.image_shape)
        return noise.where(~guided[:, None, None, None], (x_t - alpha_bar.sqrt() * x_0) / (1 - alpha_bar).sqrt())

    def _away(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images float32 [B, d] in [0, 1] moved away from the nearest known one, and which of them are guided [B]."""
        distances, indices = self._known.nearest(images)
        l2, wanted = distances[:, 0], self._threshold * ALPHA * distances.mean(1)
        neighbours = self._known.images[indices]
        others = neighbours[:, 1:].mean(1) - neighbours[:, 0]
        away = (images - neighbours[:, 0]).where(l2[:, None] > SAME, others)
        length = away.square().mean(1).sqrt().clamp(min=1e-12)
        step = self._scale * (wanted - l2).clamp(min=0) / length
        return images + step[:, None] * away, adaptive_ratio(distances) < self._threshold
