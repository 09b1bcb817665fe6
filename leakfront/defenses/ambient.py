"""Training that sees images only through noise where the noise level is high."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakfront.defenses import Defense, register
from leakfront.errors import InputError
from leakfront.seeds import derive_seed

if TYPE_CHECKING:
    import torch

    from leakfront.defenses import TrainingSetup
    from leakfront.defenses.contract import PerExampleLoss


@register("ambient")
@dataclass(frozen=True)
class Ambient(Defense):
    """Creative diffusion models using ambient diffusion (Shah et al. 2025, arXiv 2502.21278, Algorithm 1).

    The network sees clean images only at the low noise levels, the first `corruption` x T of the T timesteps. At all
    higher ones it sees each image through one noisy version x_n = sqrt(ab_n) x_0 + sqrt(1 - ab_n) e, at the noisiest
    level n that still sees clean images; e is fixed for each image and never drawn again. From x_n it learns to
    predict the clean image all the same, by ambient score matching (Daras et al. 2024, arXiv 2404.10177):

        With r = ab_t / ab_n and z ~ N(0, 1), x_t = sqrt(r) x_n + sqrt(1 - r) z. Tweedie's formula, used twice, has
        (sqrt(r) E[x_n|x_t] - x_t) / (1 - r) = (sqrt(ab_t) E[x_0|x_t] - x_t) / (1 - ab_t) = -eps / sqrt(1 - ab_t), so
        r / (1 - ab_t) ||E[x_n|x_t] - x_n||^2 = ||c eps(x_t, t) - sqrt(c) z||^2, where c = (1 - r) / (1 - ab_t).

    The weight r / (1 - ab_t) is that of the usual loss, as in the authors' code: with a clean x_n, c is 1 and the loss
    is the usual one. Its minimiser is E[eps|x_t] at every level, so sampling stays as it is.

    `corruption` 0 is plain training; 0.3 of the cosine schedule is noise of deviation 0.52 on images in [-1, 1] (the
    authors' script has 0.5). The more, the less the noisy versions show; but at fewer levels: towards 1 nearly all see
    clean images, and training is nearly plain again. So the protection has its maximum in between, to be measured.

    The noise e is a function of the image's bytes and the run's seed. Copies of an image share it, so that duplication
    shows no more of it. What augmentation makes of an image is an image of its own, with a noise of its own: stacked
    with one of many outcomes (rotation, brightness), an image is seen through so many versions that little is hidden.

    No guarantee: the low levels see the images as they are, and a network that learns x_n by heart can find x_0 from
    there. It costs no training time to speak of. Only networks that predict the noise are supported.
    """

    acts_on = "training"
    covers = "samples, loss, gradients"
    summary = "at high noise levels, see each image only through one noisy version"

    corruption: float = 0.3

    def __post_init__(self) -> None:
        if not 0 <= self.corruption < 1:
            raise InputError(f"ambient.corruption is {self.corruption}; it must be at least 0 and below 1")

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        if not self.corruption:
            return setup
        alphas_cumprod = getattr(setup.loss, "alphas_cumprod", None)
        if alphas_cumprod is None:
            raise InputError(
                "ambient needs the noise levels of the model's own loss (models.diffusion.denoising_loss); "
                "the model or a defense stacked before it has put another loss in its place"
            )
        prediction, conditional = vars(setup.loss)["prediction"], vars(setup.loss)["conditional"]
        if prediction != "epsilon":
            raise InputError(f"ambient needs a model with prediction 'epsilon'; this one has {prediction!r}")
        clean = round(self.corruption * len(alphas_cumprod))
        if not 0 < clean < len(alphas_cumprod):
            raise InputError(
                f"ambient.corruption is {self.corruption}; it must leave at least one of the model's "
                f"{len(alphas_cumprod)} timesteps on either side"
            )
        setup.loss = ambient_loss(alphas_cumprod, clean, conditional, setup.seed)
        return setup


def fixed_noise(images: torch.Tensor, seed: int) -> torch.Tensor:
    """Standard Gaussian noise of the shape of `images`, of each a function of its bytes and `seed` alone."""
    import torch

    noise = torch.empty(images.shape)
    for row, image in zip(noise, images.detach().cpu().contiguous().numpy(), strict=True):
        key = derive_seed(seed, "ambient", hashlib.sha256(image.tobytes()).hexdigest())
        row.normal_(generator=torch.Generator().manual_seed(key))
    return noise.to(images.device)


def ambient_loss(alphas_cumprod: torch.Tensor, clean: int, conditional: bool, seed: int) -> PerExampleLoss:
    """The loss of each image of a network that predicts the noise, with clean images at the first `clean` timesteps.

    The draws are those of `denoising_loss`: at the clean timesteps both losses are the same numbers.
    """
    import torch

    levels = alphas_cumprod.double().cpu()
    rest = levels.clone()  # how much of what an image is seen through is left in x_t: r
    rest[clean:] /= levels[clean - 1]
    share = (1 - rest) / (1 - levels)  # c
    root, spread, scale = (table.sqrt().float() for table in (rest, 1 - rest, share))
    share = share.float()
    signal, noise_level = float(levels[clean - 1].sqrt()), float((1 - levels[clean - 1]).sqrt())

    def loss(
        network: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        timesteps = torch.randint(len(levels), (len(images),), generator=generator)
        z = torch.randn(images.shape, generator=generator).to(images.device)
        hidden = (timesteps >= clean).to(images.device)
        seen = images.clone()
        seen[hidden] = signal * images[hidden] + noise_level * fixed_noise(images[hidden], seed)

        def at(table: torch.Tensor) -> torch.Tensor:
            return table[timesteps].to(images.device)[:, None, None, None]

        x_t = at(root) * seen + at(spread) * z
        (output,) = network(x_t, timesteps.to(images.device), labels if conditional else None, return_dict=False)
        squared: torch.Tensor = (at(share) * output - at(scale) * z).square()
        return squared.flatten(1).mean(1)

    return loss
