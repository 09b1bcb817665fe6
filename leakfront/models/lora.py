"""A fine-tune of a small text-to-image model by low-rank adapters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Interval

from leakfront.models import register
from leakfront.models.contract import DiffusionModel
from leakfront.models.text_to_image import TextToImage

if TYPE_CHECKING:
    from leakfront.models.text.adapted import AdaptedTextToImage


@register("lora")
@dataclass(frozen=True)
class LoRA(TextToImage):
    """Low-rank adapters on a base that was trained on public pairs (Hu et al. 2021, arXiv 2106.09685).

    The base is a `text_to_image` model of the same settings. A run trains it once, for `base_steps` steps of
    `base_batch_size` pairs from outside the pool and the reference, and all its models share it. Each model then adds
    adapters of this `rank`, with alpha = rank, to the queries, keys, values and outputs of the UNet's attention, as
    diffusers' script for text-to-image LoRAs does, and trains these alone: y = W x + B A x, B = 0 at first. The text
    encoder keeps its public weights. The seed of a model decides its A.

    It needs transformers and peft. `save` writes the base as `text_to_image` does, and into the same folder
    `pytorch_lora_weights.safetensors`, which diffusers' `load_lora_weights` reads.
    """

    adapters = True
    summary = "a fine-tune: low-rank adapters on a text_to_image model that a run trains once on public pairs"

    rank: Annotated[int, Interval(ge=1, le=1024)] = 4
    base_steps: Annotated[int, Ge(1)] = 600
    base_batch_size: Annotated[int, Interval(ge=1, le=2**16)] = 64
    base_learning_rate: Annotated[float, Gt(0)] = 3e-3

    def validate(self) -> None:
        from leakfront.models.adapters.layers import require_peft

        super().validate()
        require_peft('model.name = "lora"')

    @property
    def has_base(self) -> bool:
        return True

    @property
    def base_family(self) -> TextToImage:
        """The family of the base."""
        return TextToImage(**{field.name: getattr(self, field.name) for field in dataclasses.fields(TextToImage)})

    @property
    def base_training(self) -> Mapping[str, Any]:
        """What the base's training changes in the section `training`."""
        rate = self.base_learning_rate
        return {"steps": self.base_steps, "batch_size": self.base_batch_size, "learning_rate": rate}

    def build(
        self, image_shape: tuple[int, int, int], classes: int, seed: int, captions: Sequence[str] = ()
    ) -> AdaptedTextToImage:
        """New adapters on a base with fresh weights."""
        return self.on(self.base_family.build(image_shape, classes, seed, captions), seed)

    def on(self, base: DiffusionModel, seed: int) -> AdaptedTextToImage:
        """New adapters on a base of `base_family`, whose network they go into; equal seeds give equal adapters."""
        import torch

        from leakfront.models.adapters.layers import add_adapters, attention_layers
        from leakfront.models.text.adapted import AdaptedTextToImage
        from leakfront.models.text.model import TextToImageDiffusion

        assert isinstance(base, TextToImageDiffusion)
        torch.manual_seed(seed)
        add_adapters(base.network, attention_layers(base.network), self.rank)
        return AdaptedTextToImage(base)

    def load(self, folder: Path) -> AdaptedTextToImage:
        """The model that `save` wrote to `folder`. Raises `InputError` if the folder has no such model."""
        from leakfront.models.adapters.file import FILE, read_adapters
        from leakfront.models.adapters.layers import put_adapters
        from leakfront.models.text.adapted import AdaptedTextToImage

        base = super().load(folder)
        put_adapters(base.network, read_adapters(folder / FILE))
        return AdaptedTextToImage(base)
