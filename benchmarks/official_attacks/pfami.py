"""PFAMI, the statistic form (Fu et al. 2023, arXiv 2308.12143).

Transcribed from wjfu99/MIA-Gen, attack/attack_model_PFAMI.py (`eval_perturb`, `feat_prepare`, `ddpm_loss`,
`norm_image_dataset_perturbation`) and configs/config.yaml. Defaults: t = 0, 50 … 450; 10 centre crops of 0.95 … 0.70 of
a side, rounded down to whole pixels and enlarged again; the statistic takes the sixth crop only, and the mean over
timesteps of (its loss - the image's loss) / the image's loss. `calibration: true`: the same of a reference model is
subtracted, here the mean over the shadow models. Each loss draws noise of its own, for the image, the crop, each
timestep and each model. (The config as stored holds strengths of another model family; 0.95 … 0.70 are those of the
code's figures for diffusion models.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.official_attacks.model import Model, Shadow, to_scores

TIMESTEPS = tuple(range(0, 451, 50))
STRENGTHS = np.linspace(0.95, 0.70, 10)
TAKEN = 5  # the crop that the statistic reads; the others cost queries and are not used
REFERENCE = 1  # the reference models' noise is another stream


def cropped(images: torch.Tensor, strength: float) -> torch.Tensor:
    """The centre of square images, enlarged to the whole side, as torchvision's CenterCrop and Resize do it."""
    side = images.shape[-1]
    kept = int(side * strength)
    first = round((side - kept) / 2)
    centre = images[:, :, first : first + kept, first : first + kept]
    return torch.nn.functional.interpolate(centre, size=(side, side), mode="bilinear", align_corners=False)


def rise(model: Model, stream: int = 0) -> np.ndarray:
    """The mean over timesteps of (loss of the crop - loss of the image) / loss of the image, [N]."""
    generator = model.generator(stream)

    def losses(images: torch.Tensor) -> torch.Tensor:
        rows = []
        for t in TIMESTEPS:
            noise = model.noise(generator)
            rows.append((model.eps(model.noised(images, noise, t), t) - noise).square().mean(dim=(1, 2, 3)))
        return torch.stack(rows)

    whole, crop = losses(model.images), losses(cropped(model.images, STRENGTHS[TAKEN]))
    return to_scores(((crop - whole) / whole).nan_to_num(nan=0.0).mean(0))


def as_reference(model: Model) -> np.ndarray:
    """The rise under a reference model, [N]."""
    return rise(model, REFERENCE)


def score(target: Model, shadows: Sequence[Shadow]) -> np.ndarray:
    """The rise, less its mean over the shadow models."""
    calibrated: np.ndarray = rise(target) - np.mean([s.model.once(as_reference) for s in shadows], axis=0)
    return calibrated
