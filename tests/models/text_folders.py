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


def stable_diffusion_xl(root: Path, zeros: bool = True) -> Path:
    torch.manual_seed(3)
    network = unet(
        cross_attention_dim=16, addition_embed_type="text_time", addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=8 + 6 * 4, transformer_layers_per_block=(2, 1),
    )  # fmt: skip
    diffusers.StableDiffusionXLPipeline(
        vae=vae(), text_encoder=clip(), text_encoder_2=clip(projected=True), tokenizer=tokenizer(),
        tokenizer_2=tokenizer(), unet=network,
        scheduler=diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear"),
        force_zeros_for_empty_prompt=zeros,
    ).save_pretrained(root, safe_serialization=True)  # fmt: skip
    return root


@cache
def t5_tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    letters = sorted({letter for caption in CAPTIONS for letter in caption})
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in letters)]
    made = Tokenizer(models.Unigram(pieces, unk_id=2))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return transformers.T5TokenizerFast(
        tokenizer_object=made,
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        extra_ids=0,
        model_max_length=24,
    )


def t5() -> Any:
    return transformers.T5EncoderModel(
        transformers.T5Config(
            vocab_size=len(t5_tokenizer()) + 3, d_model=20, d_kv=4, d_ff=16, num_layers=1, num_heads=2,
            feed_forward_proj="gated-gelu",
        )
    )  # fmt: skip


def stable_diffusion_3(root: Path, with_t5: bool = True) -> Path:
    torch.manual_seed(3)
    network = diffusers.SD3Transformer2DModel(
        sample_size=SIZE // FACTOR, patch_size=2, in_channels=4, out_channels=4, num_layers=2, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=20, caption_projection_dim=16, pooled_projection_dim=16,
        pos_embed_max_size=8,
    )  # fmt: skip
    diffusers.StableDiffusion3Pipeline(
        transformer=network, scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae(shift_factor=0.2, use_quant_conv=False, use_post_quant_conv=False), text_encoder=clip(projected=True),
        text_encoder_2=clip(projected=True), text_encoder_3=t5() if with_t5 else None, tokenizer=tokenizer(),
        tokenizer_2=tokenizer(), tokenizer_3=t5_tokenizer() if with_t5 else None,
    ).save_pretrained(root, safe_serialization=True)  # fmt: skip
    return root


def flux(root: Path, distilled: bool = True) -> Path:
    torch.manual_seed(3)
    network = diffusers.FluxTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=20, pooled_projection_dim=8, guidance_embeds=distilled, axes_dims_rope=(2, 2, 4),
    )  # fmt: skip
    diffusers.FluxPipeline(
        transformer=network, scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae(shift_factor=0.2), text_encoder=clip(), text_encoder_2=t5(), tokenizer=tokenizer(),
        tokenizer_2=t5_tokenizer(),
    ).save_pretrained(root, safe_serialization=True)  # fmt: skip
    return root


def change(path: Path, **values: Any) -> None:
    """Set keys of a JSON file; take out those set to `...`."""
    merged = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in merged.items() if value is not ...}))
