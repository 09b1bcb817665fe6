"""A trained adversarial pair as a generator of images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from leakfront.models.adversarial.networks import GROUP, AdversarialPair
from leakfront.models.contract import Generator

SETTINGS, WEIGHTS = "gan.json", "gan.safetensors"


class AdversarialGenerator(Generator):
    """See `leakfront.models.contract.Generator`. settings: those of the family, as JSON holds them."""

    def __init__(
        self, network: AdversarialPair, image_shape: tuple[int, int, int], settings: Mapping[str, Any]
    ) -> None:
        self.network: Any = network
        self.image_shape = image_shape
        self.noise_shape = (network.noise,)
        self._settings = settings

    def generate(self, noise: torch.Tensor) -> torch.Tensor:
        images: torch.Tensor = self.network(noise)
        return images

    def discriminate(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """The logits of the averaged discriminator and of the one after the last step.

        Each image is shown in a group of copies of itself, so that no other image enters, and the deviation is 0.
        """
        shown = images.repeat(GROUP, 1, 1, 1)
        with torch.no_grad():
            return {
                name: judge(shown).view(GROUP, -1)[0]
                for name, judge in (("averaged", self.network.discriminator), ("latest", self.network.latest))
            }

    def save(self, folder: Path) -> None:
        """Write the weights as safetensors, and the settings as JSON."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.detach().cpu().contiguous() for name, value in self.network.state_dict().items()}
        save_file(weights, folder / WEIGHTS)
        settings = {"image_shape": list(self.image_shape), **self._settings}
        (folder / SETTINGS).write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n")
