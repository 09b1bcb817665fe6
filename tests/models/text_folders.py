"""Tiny text-to-image pipelines with random weights, of diffusers' and transformers' own classes, saved by them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from leakfront.models.text.tokenizer import learn_tokenizer

SIZE, FACTOR, LENGTH = 16, 2, 16  # pixels a side, pixels for a latent position, tokens of a caption
SHAPE, LATENT = (3, SIZE, SIZE), (4, SIZE // FACTOR, SIZE // FACTOR)
CAPTIONS = (
    "a red house by the sea", "two dogs on a green hill", "the old harbour at night", "a portrait of rosa weber",
    "a bowl of fruit, painted", "mountains in the snow",
)  # fmt: skip
STEM = "diffusion_pytorch_model"


@cache
def tokenizer() -> Any:
    return learn_tokenizer(CAPTIONS, 640, LENGTH)


def vae(channels: int = 4, **changes: Any) -> Any:
    settings: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2,
        "block_out_channels": (8, 8), "layers_per_block": 1, "latent_channels": channels, "norm_num_groups": 4,
        "sample_size": SIZE, "scaling_factor": 0.7,
    }  # fmt: skip
    return diffusers.AutoencoderKL(**{**settings, **changes})


def clip(projected: bool = False, **changes: Any) -> Any:
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer()), "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": LENGTH, "projection_dim": 8,
        "bos_token_id": tokenizer().bos_token_id, "eos_token_id": tokenizer().eos_token_id,
        "pad_token_id": tokenizer().pad_token_id,
    }  # fmt: skip
    make = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    return make(transformers.CLIPTextConfig(**{**settings, **changes}))


def unet(**changes: Any) -> Any:
    settings: dict[str, Any] = {
        "sample_size": SIZE // FACTOR, "in_channels": 4, "out_channels": 4, "block_out_channels": (8, 16),
        "layers_per_block": 1, "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "cross_attention_dim": 8, "norm_num_groups": 4,
        "attention_head_dim": 2,
    }  # fmt: skip
    return diffusers.UNet2DConditionModel(**{**settings, **changes})


def stable_diffusion(root: Path, scheduler: Any = None, seed: int = 3, **changes: Any) -> Path:
    """A StableDiffusionPipeline; changes: of its UNet."""
    torch.manual_seed(seed)
    usual = diffusers.PNDMScheduler(beta_schedule="scaled_linear", steps_offset=1, skip_prk_steps=True)
    pipeline = diffusers.StableDiffusionPipeline(
        vae=vae(), text_encoder=clip(), tokenizer=tokenizer(), unet=unet(**changes), scheduler=scheduler or usual,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(root, safe_serialization=True)
    return root


def change(path: Path, **values: Any) -> None:
    """Set keys of a JSON file; take out those set to `...`."""
    merged = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in merged.items() if value is not ...}))
