"""A generator and a discriminator of DCGAN's kind (Radford et al. 2016, arXiv 1511.06434), trained as one network."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

GROUP = 4  # images whose deviation the discriminator sees together
BASE = 4  # pixels a side where the generator begins and the discriminator ends


@dataclass(frozen=True)
class Rules:
    """How the pair is trained; see `leakfront.models.gan.GAN`."""

    r1: float
    r1_every: int
    translation: int
    falling: float


class GeneratorNetwork(nn.Module):
    """Noise float32 [N, noise] -> images [N, C, side, side] in [-1, 1]: each doubling halves the width."""

    def __init__(self, noise: int, width: int, channels: int, doublings: int) -> None:
        super().__init__()
        self.width = width
        self.start = nn.Linear(noise, width * BASE**2)
        layers: list[nn.Module] = [
            nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width), nn.ReLU(),
        ]  # fmt: skip
        for k in range(doublings):
            wide, narrow = width >> k, width >> k + 1
            layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU()]
        self.rest = nn.Sequential(*layers, nn.Conv2d(width >> doublings, channels, 3, padding=1))

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        begun = self.start(noise).view(len(noise), self.width, BASE, BASE)
        return torch.tanh(self.rest(begun))


class DiscriminatorNetwork(nn.Module):
    """Images [N, C, side, side] -> a logit for each, [N], high for real ones.

    Its last layers see the standard deviation within groups of images (Karras et al. 2018, arXiv 1710.10196, section
    3). Groups are of 4 images if 4 divides their number, else each image is its own.
    """

    def __init__(self, width: int, channels: int, halvings: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width >> halvings, 3, padding=1), nn.LeakyReLU(0.2)]
        for k in range(halvings, 0, -1):
            layers += [nn.Conv2d(width >> k, width >> k - 1, 4, 2, 1), nn.LeakyReLU(0.2)]
        self.first = nn.Sequential(*layers)
        self.last = nn.Conv2d(width + 1, width, 3, padding=1)
        self.out = nn.Linear(width * BASE**2, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.first(images)
        group = GROUP if len(found) % GROUP == 0 else 1
        grouped = found.view(group, -1, *found.shape[1:])
        deviation = (grouped.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3)).repeat(group)
        with_it = torch.cat([found, deviation[:, None, None, None].expand(-1, 1, *found.shape[2:])], 1)
        bent = functional.leaky_relu(self.last(with_it), 0.2).flatten(1)
        logits: torch.Tensor = self.out(bent).squeeze(1)
        return logits


class AdversarialPair(nn.Module):
    """Generator and discriminator; `forward` generates.

    noise: its dimensions. latest: the discriminator after the last step. It is not trained itself, so a moving average
    of all weights keeps it as it is, beside the averaged `discriminator`.
    """

    def __init__(self, generator: GeneratorNetwork, discriminator: DiscriminatorNetwork, rules: Rules) -> None:
        super().__init__()
        self.generator, self.discriminator, self.rules = generator, discriminator, rules
        self.noise = generator.start.in_features
        self.latest = copy.deepcopy(discriminator).requires_grad_(False)

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        images: torch.Tensor = self.generator(noise)
        return images
