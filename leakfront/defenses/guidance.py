"""Anti-memorization guidance during sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Interval

from leakfront.defenses import Defense, Sampler, Serving, register
from leakfront.defenses.captions.copied import AwayFromCopiedCaptions
from leakfront.defenses.filter import ALPHA, FilteredSampler, TrainingImages, adaptive_ratio
from leakfront.errors import InputError
from leakfront.models.contract import in_pixels

if TYPE_CHECKING:
    import torch

    from leakfront.models.contract import ModelFamily

SAME = 1e-3  # a prediction at a smaller root mean square distance (a quarter of a grey level) is the training image


@register("guidance")
@dataclass(frozen=True)
class Guidance(Defense):
    """Anti-memorization guidance (Chen, Liu and Xu 2024, "Towards Memorization-Free Diffusion Models", arXiv
    2404.00922), in the form of dissimilarity guidance, the only one of its three kinds that needs no captions.

    At each step, let x_0 be the predicted image, clipped to [-1, 1], and r its ratio to the training images as in
    `filter` (the negative of the paper's similarity): l2 to the nearest image n, over 0.5 x the mean l2 to the
    `neighbours` nearest images. Where r is below `threshold`, x_0 is moved away from n along the gradient of l2, by
    `scale` times the missing distance: x_0 + scale (threshold / r - 1) (x_0 - n). The sampler gets the noise that
    belongs to the moved x_0, clipped again, so that the sampler's own clipping changes nothing. A prediction that
    equals n has no gradient; it is moved by the same distance towards the mean of its other neighbours.

    It differs from the paper in this last rule and in three other points. The gradient is taken at the prediction,
    since a gradient through the network would cost a backward pass. The push is a share of the gap to the threshold,
    where the paper multiplies the gap by a constant found for each data set. The threshold is the same at all steps,
    where the paper has a schedule (in its released code for CIFAR-10 from 1.95 to 1.5 in the last steps, on noised
    images).

    With `captions`, for text models under guidance, two more terms of the paper act before that, where the ratio is
    below the threshold: the scale of the guidance falls, and the prediction moves away from the caption of the training
    image that it copies (see `leakfront.defenses.captions.copied.AwayFromCopiedCaptions`). The paper's similarity there
    is one of features, and the last term rests in some steps, by a schedule. It costs a model call more for each sample
    and step at which something is copied, and needs the training captions wherever the model is served.

    No guarantee. A sample that was pushed away from a training image can still show much of it. A solver that
    extrapolates from earlier steps (DPM-Solver++) brings some samples back. In a stack it must come before `filter` and
    any other defense that guards the sampler, since it changes the model and makes a new sampler. An attacker with the
    weights can sample without the guidance. It costs a search through the training images at every step. The training
    set is needed wherever the model is served.
    """

    acts_on = "sampling"
    covers = "samples as served; nothing with the weights"
    makes_sampler = True
    summary = "push predictions away from the nearest training image while sampling"

    threshold: Annotated[float, Interval(ge=0, le=2)] = 1.0  # 0 guides nothing; no ratio exceeds 2
    scale: Annotated[float, Ge(0)] = 1.0
    neighbours: Annotated[int, Ge(2)] = 50
    captions: bool = False

    def check_family(self, family: ModelFamily) -> None:
        if self.captions and not family.text:
            raise InputError(
                f"guidance.captions steers away from captions, and model.name = {family.name!r} is no text model; "
                "leave it out"
            )

    def guard(self, sampler: Sampler, serving: Serving) -> Sampler:
        if isinstance(sampler, FilteredSampler):
            raise InputError(
                "guidance changes the model that filter draws from; put guidance before filter in the stack"
            )
        if not in_pixels(serving.model):
            raise InputError("guidance compares predicted images, and this model predicts codes; leave it out")
        known, model = TrainingImages(serving.training_images, self.neighbours), serving.model
        if self.captions:
            if serving.prompts is None:
                raise InputError("guidance.captions steers away from captions, and this model has none")
            model = AwayFromCopiedCaptions(serving.prompts, known, self.threshold)
        return serving.make_sampler(GuidedModel(model, known, self.threshold, self.scale))


class GuidedModel:
    """A model whose predictions keep their distance from the `known` images; see `Guidance`."""

    def __init__(self, model: Any, known: TrainingImages, threshold: float, scale: float) -> None:
        self._model, self._known, self._threshold, self._scale = model, known, threshold, scale

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        """The model's noise prediction, changed for those images of the batch that are guided at this step."""
        noise: torch.Tensor = self._model.predict_noise(x_t, t, condition)
        alpha_bar = self.alphas_cumprod.to(x_t.device)[t][:, None, None, None]
        x_0 = ((x_t - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()).clamp(-1, 1)
        moved, guided = self._away(x_0.flatten(1) / 2 + 0.5)
        x_0[guided] = (moved[guided] * 2 - 1).clamp(-1, 1).reshape(-1, *self.image_shape)
        return noise.where(~guided[:, None, None, None], (x_t - alpha_bar.sqrt() * x_0) / (1 - alpha_bar).sqrt())

    def _away(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images, float32 [B, d] in [0, 1], moved away from their nearest known image; and a mask [B] of the guided."""
        distances, indices = self._known.nearest(images)
        l2, wanted = distances[:, 0], self._threshold * ALPHA * distances.mean(1)
        neighbours = self._known.images[indices]
        others = neighbours[:, 1:].mean(1) - neighbours[:, 0]
        away = (images - neighbours[:, 0]).where(l2[:, None] > SAME, others)
        length = away.square().mean(1).sqrt().clamp(min=1e-12)
        step = self._scale * (wanted - l2).clamp(min=0) / length
        return images + step[:, None] * away, adaptive_ratio(distances) < self._threshold
