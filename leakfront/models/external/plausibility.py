"""Whether a model that was trained elsewhere is read rightly: its errors on images that it was trained on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from leakfront.models.contract import DiffusionModel

IMAGES = 256  # at most
LEVEL, LABEL_LEVEL = 0.1, 0.5  # of all timesteps: t = 100 and 500 of 1,000. Labels matter where the image is faint
Z = 1.96  # of a 95% interval


def plausibility(
    model: DiffusionModel, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator, batch_size: int
) -> dict[str, Any]:
    """The mean squared noise error on members, and in a conditional model that with right and with permuted labels.

    The error is ||eps_theta(x_t, t) - eps||^2, the mean over values and over up to 256 images, each with its own noise.
    At t = 100 of 1,000 it is near 0.1 for a model of pixels that is read rightly, about 0.8 for an untrained one, and
    above 1 if the images' range or the kind of prediction is wrong. labels_gain: by how much permuted labels, or other
    images' captions, raise the error at t = 500 of 1,000, a mean with the ends of its 95% interval.

    images: float32 [N, C, H, W] in [-1, 1], members, on the model's device. labels: conditions int64 [N, ...].
    generator: a CPU generator, for the choice of images, the noise and the permuted labels.
    """
    import torch

    from leakfront.models.contract import in_pixels

    chosen = torch.randperm(len(images), generator=generator)[:IMAGES].to(images.device)
    labels, latent = labels[chosen], not in_pixels(model)
    images = torch.cat([model.encode(images[part]) for part in torch.split(chosen, batch_size)])
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    timesteps, classes = len(model.alphas_cumprod), model.classes
    texts = bool(model.words) and bool((labels != labels[:1]).any())

    def errors(t: int, given: torch.Tensor) -> torch.Tensor:
        alpha_bar, found = model.alphas_cumprod.to(images.device)[t], []
        for first in range(0, len(images), batch_size):
            rows = slice(first, first + batch_size)
            x_t = alpha_bar.sqrt() * images[rows] + (1 - alpha_bar).sqrt() * noise[rows]
            at = torch.full((len(x_t),), t, device=images.device)
            difference = model.predict_noise(x_t, at, given[rows]) - noise[rows]
            found.append(difference.square().flatten(1).mean(1).double().cpu())
        return torch.cat(found)

    at = round(LEVEL * timesteps)
    with torch.no_grad():
        facts: dict[str, Any] = {
            "timestep": at, "timesteps": timesteps, "images": len(images),
            "noise_error": _number(errors(at, labels).mean()),
            **({"latent": 1} if latent else {}), **({"texts": 1} if texts else {}),
        }  # fmt: skip
        if classes > 1 or texts:
            late = min(round(LABEL_LEVEL * timesteps), timesteps - 1)
            others = labels.roll(1, 0)
            if not texts:
                others = (
                    labels + torch.randint(1, classes, (len(images),), generator=generator).to(images.device)
                ) % classes
            own, permuted = errors(late, labels), errors(late, others)
            gain = permuted - own
            half = Z * gain.std() / math.sqrt(len(images))
            facts |= {
                "label_timestep": late, "noise_error_own_labels": _number(own.mean()),
                "noise_error_permuted_labels": _number(permuted.mean()),
                "labels_gain": [_number(v) for v in (gain.mean(), gain.mean() - half, gain.mean() + half)],
            }  # fmt: skip
    return facts


def _number(value: torch.Tensor) -> float | None:
    """A number as JSON holds it; None if it is not finite."""
    return float(value) if math.isfinite(float(value)) else None
