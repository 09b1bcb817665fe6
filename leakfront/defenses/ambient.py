"""Training that sees only noisy versions of the images at high noise levels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Lt

from leakfront.defenses import Defense, TrainingSetup, register
from leakfront.errors import InputError
from leakfront.models.contract import LossWithLevels, PerExampleLoss
from leakfront.seeds import derive_seed

if TYPE_CHECKING:
    import torch

# (conditions int64 [B, ...], generator) -> what the network gets of them
Given = Callable[["torch.Tensor", "torch.Generator"], "torch.Tensor | None"]


@register("ambient")
@dataclass(frozen=True)
class Ambient(Defense):
    """Creative diffusion models using ambient diffusion (Shah et al. 2025, arXiv 2502.21278, Algorithm 1).

    The network sees clean images only at the low noise levels, the first `corruption` x T of the T timesteps. At all
    higher levels it sees only one noisy version of each image, x_n = sqrt(ab_n) x_0 + sqrt(1 - ab_n) e. Here n is the
    noisiest level that still sees clean images, and e is drawn once for each image. The network still learns to predict
    the clean image from x_n, by ambient score matching (Daras et al. 2024, arXiv 2404.10177):

        With r = ab_t / ab_n and z ~ N(0, 1), x_t = sqrt(r) x_n + sqrt(1 - r) z. Tweedie's formula, used twice, has
        (sqrt(r) E[x_n|x_t] - x_t) / (1 - r) = (sqrt(ab_t) E[x_0|x_t] - x_t) / (1 - ab_t) = -eps / sqrt(1 - ab_t), so
        r / (1 - ab_t) ||E[x_n|x_t] - x_n||^2 = ||c eps(x_t, t) - sqrt(c) z||^2, where c = (1 - r) / (1 - ab_t).

    The weight r / (1 - ab_t) is that of the usual loss, as in the authors' code: with a clean x_n, c is 1 and the loss
    is the usual one. Its minimizer is E[eps|x_t] at every level, so sampling stays as it is.

    `corruption` 0 is plain training. 0.3 of the cosine schedule is noise of standard deviation 0.52 on images in
    [-1, 1] (the authors' script has 0.5). A higher value hides more of an image in its noisy version, but at fewer
    levels: near 1 almost all levels see clean images, and training is almost plain. The protection is strongest
    somewhere in between, which has to be measured.

    The noise e is a function of the image's bytes and the run's seed. Copies of an image share it, so duplication shows
    no more of the image. An augmented image counts as another image, with its own noise. So in a stack with an
    augmentation of many outcomes (rotation, brightness), training sees many versions of an image and hides little.

    No guarantee: the low levels see clean images, and a network that memorizes x_n can find x_0 from there. The cost in
    training time is negligible. Only networks that predict the noise are supported.
    """

    acts_on = "training"
    covers = "samples, loss, gradients"
    summary = "train on one fixed noisy version of each image at high noise levels"

    corruption: Annotated[float, Ge(0), Lt(1)] = 0.3

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        if not self.corruption:
            return setup
        own = setup.loss
        if not isinstance(own, LossWithLevels):
            raise InputError(
                "ambient needs the noise levels of the model's own loss (models.diffusion.DenoisingLoss); "
                "the model or a defense before ambient in the stack uses another loss"
            )
        if own.prediction != "epsilon":
            raise InputError(f"ambient needs a model with prediction 'epsilon'; this one has {own.prediction!r}")
        alphas_cumprod = own.alphas_cumprod
        clean = round(self.corruption * len(alphas_cumprod))
        if not 0 < clean < len(alphas_cumprod):
            raise InputError(
                f"ambient.corruption is {self.corruption}; it must leave at least one of the model's "
                f"{len(alphas_cumprod)} timesteps on either side"
            )
        setup.loss = ambient_loss(alphas_cumprod, clean, own.given, setup.seed)
        return setup


def fixed_noise(images: torch.Tensor, seed: int) -> torch.Tensor:
    """Standard Gaussian noise in the shape of `images`; the noise of an image depends only on its bytes and `seed`."""
    import torch

    noise = torch.empty(images.shape)
    for row, image in zip(noise, images.detach().cpu().contiguous().numpy(), strict=True):
        key = derive_seed(seed, "ambient", hashlib.sha256(image.tobytes()).hexdigest())
        row.normal_(generator=torch.Generator().manual_seed(key))
    return noise.to(images.device)


def ambient_loss(alphas_cumprod: torch.Tensor, clean: int, given: Given, seed: int) -> PerExampleLoss:
    """The loss of each image, for a network that predicts the noise; the first `clean` timesteps see clean images.

    given: what the network gets of the conditions, as `DenoisingLoss.given`.

    It makes the same draws as `leakfront.models.diffusion.DenoisingLoss`; at the clean timesteps both losses are equal.
    """
    import torch

    levels = alphas_cumprod.double().cpu()
    rest = levels.clone()  # r: the share of x_n, or of the clean image, that is left in x_t
    rest[clean:] /= levels[clean - 1]
    share = (1 - rest) / (1 - levels)  # c
    root, spread, scale = (table.sqrt().float() for table in (rest, 1 - rest, share))
    share = share.float()
    signal, noise_level = float(levels[clean - 1].sqrt()), float((1 - levels[clean - 1]).sqrt())

    def loss(
        network: torch.nn.Module, images: torch.Tensor, condition: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        timesteps = torch.randint(len(levels), (len(images),), generator=generator)
        z = torch.randn(images.shape, generator=generator).to(images.device)
        hidden = (timesteps >= clean).to(images.device)
        seen = images.clone()
        seen[hidden] = signal * images[hidden] + noise_level * fixed_noise(images[hidden], seed)

        def at(table: torch.Tensor) -> torch.Tensor:
            return table[timesteps].to(images.device)[:, None, None, None]

        x_t = at(root) * seen + at(spread) * z
        (output,) = network(x_t, timesteps.to(images.device), given(condition, generator), return_dict=False)
        squared: torch.Tensor = (at(share) * output - at(scale) * z).square()
        return squared.flatten(1).mean(1)

    return loss
