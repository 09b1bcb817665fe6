"""A text-to-image model that was fine-tuned by low-rank adapters, with its base."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from leakfront.models.adapters.file import write_adapters
from leakfront.models.adapters.layers import adapters_of, adapters_off, remove_adapters
from leakfront.models.text.model import TextToImageDiffusion

if TYPE_CHECKING:
    import torch


class AdaptedTextToImage(TextToImageDiffusion):
    """See `leakfront.models.contract.DiffusionModel`; what it learned are the adapters alone.

    model: the base, whose network has adapters by now.
    """

    def __init__(self, model: TextToImageDiffusion) -> None:
        super().__init__(model.network, model.tokenizer, model._scheduler, model._null_probability)

    @property
    def base(self) -> TextToImageDiffusion:  # type: ignore[override]
        """The model that was fine-tuned: the same network, whose adapters are off while it is asked."""
        return _WithoutAdapters(self)

    def parameters(self) -> dict[str, torch.Tensor]:
        return {name: value for name, value in super().parameters().items() if ".lora_" in name}

    def save(self, folder: Path) -> None:
        """Write the base as a `StableDiffusionPipeline` folder without a VAE, and the adapters' file into it."""
        if not (adapters := adapters_of(self.network)):
            raise ValueError("a fine-tuned model must keep its adapters; a defense has merged or removed them")
        base = copy.copy(self)
        base.network = copy.deepcopy(self.network)
        remove_adapters(base.network)
        TextToImageDiffusion.save(base, folder)
        write_adapters(adapters, folder)


class _WithoutAdapters(TextToImageDiffusion):
    """The base of a fine-tuned model, in the memory of this."""

    def __init__(self, model: AdaptedTextToImage) -> None:
        super().__init__(model.network, model.tokenizer, model._scheduler, model._null_probability)

    def parameters(self) -> dict[str, torch.Tensor]:
        return {name: value for name, value in super().parameters().items() if ".lora_" not in name}

    def embed(self, condition: torch.Tensor) -> torch.Tensor:
        with adapters_off(self.network):
            return super().embed(condition)

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        with adapters_off(self.network):
            return super().predict_noise(x_t, t, condition)

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor
    ) -> torch.Tensor:
        with adapters_off(self.network):
            return super().predict_with(parameters, x_t, t, condition)

    def save(self, folder: Path) -> None:
        raise TypeError("a base is stored with the model that was fine-tuned from it")
