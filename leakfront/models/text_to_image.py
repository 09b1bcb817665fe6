"""A small text-to-image model, trained from scratch: a text encoder of CLIP's kind and a UNet with cross-attention."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Interval, Le, Lt, MinLen

from leakfront.errors import InputError
from leakfront.models import ModelFamily, register
from leakfront.models.contract import Prediction, Timesteps
from leakfront.models.text.tokenizer import SMALLEST, check_lengths, learn_tokenizer

if TYPE_CHECKING:
    from leakfront.models.text.model import TextToImageDiffusion

MAX_TOKENS = 1024
PARTS = ("unet/config.json", "text_encoder/config.json", "tokenizer/tokenizer_config.json",
         "scheduler/scheduler_config.json")  # fmt: skip


@register("text_to_image")
@dataclass(frozen=True)
class TextToImage(ModelFamily):
    """diffusers' UNet2DConditionModel and transformers' CLIPTextModel, trained together; pixels, no autoencoder.

    channels: the width at each resolution, finest first; the coarsest has cross-attention. heads: of its attention.
    norm_groups: the groups of each group normalization. text_width, text_layers, text_heads: of the text encoder.
    tokens: the length of a caption, with begin and end. vocabulary: the most tokens; they are learned from all captions
    of the run, in and outside the pool, so that no decoy's word is unknown. null_probability: how often a training
    caption is replaced by the empty one, for guidance. schedule and prediction: as in `unet`.

    It needs transformers. `save` writes a StableDiffusionPipeline folder without a VAE. diffusers loads it with
    `vae=None`, and gives pixels with `output_type="latent"`.
    """

    summary = "a small text-to-image model: CLIPTextModel and UNet2DConditionModel from scratch"
    text = True

    channels: Annotated[tuple[Annotated[int, Ge(1), Le(2**14)], ...], MinLen(1)] = (16, 32)
    layers_per_block: Annotated[int, Interval(ge=1, le=64)] = 1
    heads: Annotated[int, Ge(1)] = 2
    norm_groups: Annotated[int, Ge(1)] = 8
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    text_width: Annotated[int, Interval(ge=1, le=2**14)] = 32
    text_layers: Annotated[int, Interval(ge=1, le=64)] = 1
    text_heads: Annotated[int, Ge(1)] = 4
    tokens: Annotated[int, Interval(ge=3, le=MAX_TOKENS)] = 20
    vocabulary: Annotated[int, Interval(ge=SMALLEST, le=2**17)] = 2000
    null_probability: Annotated[float, Ge(0), Lt(1)] = 0.1
    timesteps: Timesteps = 1000
    schedule: Literal["squaredcos_cap_v2", "linear", "scaled_linear"] = "squaredcos_cap_v2"
    prediction: Prediction = "epsilon"

    def validate(self) -> None:
        if importlib.util.find_spec("transformers") is None:
            raise InputError("model 'text_to_image' needs transformers: pip install leakfront[text]")
        if any(width % self.norm_groups for width in self.channels):
            raise InputError(
                f"model.channels is {list(self.channels)}; each must be a multiple of model.norm_groups, "
                f"{self.norm_groups}"
            )
        if self.channels[-1] % self.heads:
            raise InputError(
                f"model.heads is {self.heads}; it must divide the last of model.channels, {self.channels[-1]}"
            )
        if self.text_width % self.text_heads:
            raise InputError(
                f"model.text_heads is {self.text_heads}; it must divide model.text_width, {self.text_width}"
            )

    @property
    def smallest(self) -> int:
        """A lower bound on the number of weights: convolutions as in `unet`, token embedding, encoder layers."""
        convolutions = 36 * (self.layers_per_block * sum(width**2 for width in self.channels) + self.channels[-1] ** 2)
        return convolutions + SMALLEST * self.text_width + 8 * self.text_layers * self.text_width**2

    def check(self, image_shape: tuple[int, int, int]) -> None:
        _, height, width = image_shape
        multiple = 2 ** (len(self.channels) - 1)
        if height % multiple or width % multiple:
            raise InputError(
                f"model.channels has {len(self.channels)} resolutions, so each side of an image must be a multiple of "
                f"{multiple} pixels; the images are {height}x{width}"
            )

    def check_captions(self, captions: Sequence[str]) -> None:
        check_lengths(captions, self.vocabulary, self.tokens)

    def build(
        self, image_shape: tuple[int, int, int], classes: int, seed: int, captions: Sequence[str] = ()
    ) -> TextToImageDiffusion:
        """A fresh network for images (C, H, W), with a tokenizer learned from all `captions`."""
        import torch
        from diffusers import DDPMScheduler, UNet2DConditionModel
        from transformers import CLIPTextConfig, CLIPTextModel

        from leakfront.models.text.model import TextToImageDiffusion
        from leakfront.models.text.network import TextUNet

        tokenizer = learn_tokenizer(captions, self.vocabulary, self.tokens)
        channels, height, width = image_shape
        finer = len(self.channels) - 1
        torch.manual_seed(seed)
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer), hidden_size=self.text_width, intermediate_size=2 * self.text_width,
                num_hidden_layers=self.text_layers, num_attention_heads=self.text_heads,
                max_position_embeddings=self.tokens, projection_dim=self.text_width, hidden_act="quick_gelu",
                bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )  # fmt: skip
        unet = UNet2DConditionModel(
            sample_size=(height, width), in_channels=channels, out_channels=channels,
            block_out_channels=self.channels, layers_per_block=self.layers_per_block,
            down_block_types=("DownBlock2D",) * finer + ("CrossAttnDownBlock2D",),
            up_block_types=("CrossAttnUpBlock2D",) + ("UpBlock2D",) * finer,
            cross_attention_dim=self.text_width, norm_num_groups=self.norm_groups, dropout=self.dropout,
            attention_head_dim=self.heads,  # which is the number of heads in this class
        )  # fmt: skip
        scheduler = DDPMScheduler(
            num_train_timesteps=self.timesteps, beta_schedule=self.schedule, prediction_type=self.prediction,
            steps_offset=1, clip_sample=False,  # as the pipeline wants them; they concern diffusers' own sampling
        )  # fmt: skip
        return TextToImageDiffusion(TextUNet(text_encoder, unet), tokenizer, scheduler, self.null_probability)

    def load(self, folder: Path) -> TextToImageDiffusion:
        """The model that `save` wrote to `folder`. Raises `InputError` if the folder has no such model."""
        from diffusers import DDPMScheduler, UNet2DConditionModel
        from transformers import CLIPTextModel, CLIPTokenizer

        from leakfront.models.text.model import TextToImageDiffusion, silent
        from leakfront.models.text.network import TextUNet

        for part in PARTS:
            if not (folder / part).is_file():  # the libraries would look for a repository of that name on the hub
                raise InputError(f"{folder} is no text-to-image pipeline: it has no {part}")
        local: dict[str, Any] = {"local_files_only": True}
        try:
            with silent():  # safetensors only, since the other formats are pickles, which can run code
                network = TextUNet(
                    CLIPTextModel.from_pretrained(folder / "text_encoder", use_safetensors=True, **local),
                    UNet2DConditionModel.from_pretrained(
                        folder / "unet", use_safetensors=True, low_cpu_mem_usage=False, **local
                    ),
                )
                tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
                scheduler = DDPMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
                return TextToImageDiffusion(network, tokenizer, scheduler, self.null_probability)
        except Exception as error:  # they can raise any error on a folder that they did not write
            raise InputError(f"{folder} cannot be read as a text-to-image pipeline: {error}") from error
