"""The pipelines that are read: their parts, and how these fit together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from leakfront.models.external.text.components import CLIP, CLIP_PROJECTED, FLUX, SD3, T5, UNET, VAE, Kind

CLIP_TOKENS, T5_TOKENS = "CLIPTokenizer", "T5TokenizerFast"
# parts of pipelines that are never opened: they look at finished images, or take other inputs than captions
NOT_READ = frozenset({
    "add_watermarker", "feature_extractor", "force_zeros_for_empty_prompt", "image_encoder",
    "requires_aesthetics_score", "requires_safety_checker", "safety_checker",
})  # fmt: skip
Settings = Mapping[str, Any]  # of the parts, by their names
Widths = dict[str, tuple[int | None, int]]  # a setting of the denoiser: what it is, and what the text encoders give


@dataclass(frozen=True)
class PipelineKind:
    """A pipeline class of diffusers.

    name: the class. denoiser: the part that predicts. parts: the networks by the names of their folders. tokenizers: by
    the names of their folders, the class of transformers. network: the class in `networks` that makes one network of
    them. widths: the sizes in which denoiser and text encoders must agree. flow: whether it was trained by flow
    matching. most: how many tokens of a caption an encoder is given, where it could take more. optional: the encoder
    that the pipeline can do without. absent: the parts that this one does without.
    """

    name: str
    denoiser: str
    parts: dict[str, Kind]
    tokenizers: dict[str, str]
    network: str
    widths: Callable[[Settings], Widths]
    flow: bool = False
    most: dict[str, int] = field(default_factory=dict)
    optional: str | None = None
    absent: tuple[str, ...] = ()

    def without(self, encoder: str) -> PipelineKind:
        """The same without a text encoder and its tokenizer."""
        absent = (encoder, encoder.replace("text_encoder", "tokenizer"))
        parts = {name: part for name, part in self.parts.items() if name not in absent}
        tokenizers = {name: tokens for name, tokens in self.tokenizers.items() if name not in absent}
        return replace(self, parts=parts, tokenizers=tokenizers, absent=absent)

    @property
    def encoders(self) -> list[str]:
        """The names of the text encoders, in the order of the tokenizers."""
        return [name.replace("tokenizer", "text_encoder") for name in self.tokenizers]


def _one(parts: Settings) -> Widths:
    unet = parts["unet"]
    return {
        "cross_attention_dim": (unet.cross_attention_dim, parts["text_encoder"].hidden_size),
        "projection_class_embeddings_input_dim": (unet.projection_class_embeddings_input_dim or 0, 0),
    }


def _two(parts: Settings) -> Widths:
    unet, first, second = parts["unet"], parts["text_encoder"], parts["text_encoder_2"]
    pooled = second.projection_dim + 6 * (unet.addition_time_embed_dim or 0)
    return {
        "cross_attention_dim": (unet.cross_attention_dim, first.hidden_size + second.hidden_size),
        "projection_class_embeddings_input_dim": (unet.projection_class_embeddings_input_dim, pooled),
    }


def _three(parts: Settings) -> Widths:
    transformer, clips = parts["transformer"], (parts["text_encoder"], parts["text_encoder_2"])
    width = max(transformer.joint_attention_dim, sum(clip.hidden_size for clip in clips))  # of the zeros without T5
    return {
        "joint_attention_dim": (
            transformer.joint_attention_dim,
            parts["text_encoder_3"].d_model if "text_encoder_3" in parts else width,
        ),
        "pooled_projection_dim": (transformer.pooled_projection_dim, sum(clip.projection_dim for clip in clips)),
    }


def _flux(parts: Settings) -> Widths:
    transformer = parts["transformer"]
    return {
        "joint_attention_dim": (transformer.joint_attention_dim, parts["text_encoder_2"].d_model),
        "pooled_projection_dim": (transformer.pooled_projection_dim, parts["text_encoder"].hidden_size),
    }


_ALL = (
    PipelineKind(
        "StableDiffusionPipeline", "unet", {"unet": UNET, "vae": VAE, "text_encoder": CLIP},
        {"tokenizer": CLIP_TOKENS}, "StableDiffusion", _one,
    ),
    PipelineKind(
        "StableDiffusionXLPipeline", "unet",
        {"unet": UNET, "vae": VAE, "text_encoder": CLIP, "text_encoder_2": CLIP_PROJECTED},
        {"tokenizer": CLIP_TOKENS, "tokenizer_2": CLIP_TOKENS}, "StableDiffusionXL", _two,
    ),
    PipelineKind(
        "StableDiffusion3Pipeline", "transformer",
        {"transformer": SD3, "vae": VAE, "text_encoder": CLIP_PROJECTED, "text_encoder_2": CLIP_PROJECTED,
         "text_encoder_3": T5},
        {"tokenizer": CLIP_TOKENS, "tokenizer_2": CLIP_TOKENS, "tokenizer_3": T5_TOKENS}, "StableDiffusion3", _three,
        flow=True, most={"text_encoder_3": 256}, optional="text_encoder_3",
    ),
    PipelineKind(
        "FluxPipeline", "transformer", {"transformer": FLUX, "vae": VAE, "text_encoder": CLIP, "text_encoder_2": T5},
        {"tokenizer": CLIP_TOKENS, "tokenizer_2": T5_TOKENS}, "Flux", _flux, flow=True, most={"text_encoder_2": 512},
    ),
)  # fmt: skip
KINDS = {kind.name: kind for kind in _ALL}
