"""A generative adversarial network for small images: the paper's other kind of model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Interval, Le

from leakfront.documents import load_json
from leakfront.errors import InputError
from leakfront.models import ModelFamily, register

BASE = 4


@register("gan")
@dataclass(frozen=True)
class GAN(ModelFamily):
    """Generator and discriminator of DCGAN's kind (Radford et al. 2016, arXiv 1511.06434), for square images.

    Carlini et al. 2023 (arXiv 2301.13188, section 5.3) extract fewer images from GANs than from diffusion models; this
    family is there to ask that with equal images shown and at equal FID. Sides are 4 pixels times a power of two.

    The loss is the non-saturating one (Goodfellow et al. 2014, arXiv 1406.2661), with the penalty R1 (Mescheder et al.
    2018, arXiv 1801.04406) on real images, lazily (Karras et al. 2020, arXiv 1912.04958), and with DiffAugment's
    translation (Zhao et al. 2020, arXiv 2006.10738) of real and generated images alike. Adam has betas (0, 0.99).

    noise: its dimensions. generator_width, discriminator_width: channels at 4 x 4 pixels; each doubling of the side
    halves them. r1: the weight of the penalty. r1_every: the steps from one penalty to the next. translation: the
    largest shift, in pixels. falling: the last share of the steps, in which the learning rate falls to 2%.
    """

    summary = "a small generative adversarial network, for comparison with diffusion models"
    kind = "generator"

    noise: Annotated[int, Interval(ge=1, le=4096)] = 32
    generator_width: Annotated[int, Interval(ge=1, le=4096)] = 64
    discriminator_width: Annotated[int, Interval(ge=1, le=4096)] = 64
    r1: Annotated[float, Ge(0)] = 0.1
    r1_every: Annotated[int, Ge(1)] = 8
    translation: Annotated[int, Ge(0)] = 1
    falling: Annotated[float, Ge(0), Le(1)] = 0.3

    @property
    def timesteps(self) -> int:
        """None: 0."""
        return 0

    def notes(self) -> Sequence[str]:
        """What of a config does not apply."""
        return ("it makes an image in one call: sampling.scheduler, sampling.steps and sampling.eta do not apply",)

    @property
    def smallest(self) -> int:
        """A lower bound on the number of weights: the first layer of the generator, the last of the discriminator."""
        first = self.noise * self.generator_width * BASE**2 + 9 * self.generator_width**2
        return first + 9 * self.discriminator_width**2

    def check(self, image_shape: tuple[int, int, int]) -> None:
        _, height, width = image_shape
        doublings = _doublings(height)
        if height != width or doublings is None:
            raise InputError(
                f"model 'gan' needs square images whose side is 4 pixels times a power of two (8, 16, 32, …); these "
                f"are {height}x{width}"
            )
        for key in ("generator_width", "discriminator_width"):
            if getattr(self, key) % 2**doublings:
                raise InputError(
                    f"model.{key} is {getattr(self, key)}; it is halved {doublings} times for sides of {height} "
                    f"pixels, so it must be a multiple of {2**doublings}"
                )

    def build(self, image_shape: tuple[int, int, int], classes: int, seed: int, captions: Sequence[str] = ()) -> Any:
        """An `AdversarialGenerator`: a fresh pair for images (C, H, W); it is unconditional."""
        import torch

        from leakfront.models.adversarial.model import AdversarialGenerator
        from leakfront.models.adversarial.networks import (
            AdversarialPair,
            DiscriminatorNetwork,
            GeneratorNetwork,
            Rules,
        )

        channels, side, _ = image_shape
        doublings = _doublings(side)
        assert doublings is not None, "check() comes first"
        torch.manual_seed(seed)
        pair = AdversarialPair(
            GeneratorNetwork(self.noise, self.generator_width, channels, doublings),
            DiscriminatorNetwork(self.discriminator_width, channels, doublings),
            Rules(self.r1, self.r1_every, self.translation, self.falling),
        )
        return AdversarialGenerator(pair, image_shape, asdict(self))

    def load(self, folder: Path) -> Any:
        """The `AdversarialGenerator` that `save` wrote to `folder`; `InputError` if there is none."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from leakfront.models.adversarial.model import SETTINGS, WEIGHTS

        try:
            stored: dict[str, Any] = load_json(folder / SETTINGS)
            channels, height, width = (int(size) for size in stored.pop("image_shape"))
            family = GAN(**stored)
            if asdict(family) != asdict(self):
                raise ValueError("it was made with other settings")
            model = family.build((channels, height, width), 0, seed=0)
            model.network.load_state_dict(load_file(folder / WEIGHTS))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{folder} cannot be read as a model of the family 'gan': {error}") from error
        model.network.eval()
        return model


def _doublings(side: int) -> int | None:
    """How often 4 is doubled to give the side; None if no number of times does."""
    times = (side // BASE).bit_length() - 1
    return times if times >= 1 and BASE << times == side else None
