"""The settings of autoencoders and text encoders from any source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval, Lt

from leakfront.models.external.text.denoiser_configs import Blocks, Layers, Widths
from leakfront.models.external.unet_config import MAX_SIDE, Names, Width

MAX_VOCABULARY, MAX_TOKENS = 2**20, 2**12
# attributes that every config of transformers may hold; they change nothing of what is computed here
GENERAL = frozenset({
    "architectures", "bos_token_id", "chunk_size_feed_forward", "classifier_dropout", "decoder_start_token_id",
    "dense_act_fn", "dtype", "gradient_checkpointing", "id2label", "initializer_factor", "initializer_range",
    "is_decoder", "is_encoder_decoder", "is_gated_act", "label2id", "n_positions", "num_decoder_layers",
    "output_attentions", "output_hidden_states", "output_past", "pad_token_id", "problem_type", "return_dict",
    "scale_decoder_outputs", "task_specific_params", "tie_word_embeddings", "torch_dtype", "transformers_version",
    "use_cache",
})  # fmt: skip


@dataclass(frozen=True)
class AutoencoderConfig:
    """The parameters of diffusers' `AutoencoderKL`, with its names and defaults."""

    in_channels: Literal[1, 3] = 3
    out_channels: Literal[1, 3] = 3
    down_block_types: Names = ("DownEncoderBlock2D",)
    up_block_types: Names = ("UpDecoderBlock2D",)
    block_out_channels: Widths = (64,)
    layers_per_block: Layers = 1
    act_fn: Literal["silu", "swish", "mish", "gelu", "relu"] = "silu"
    latent_channels: Annotated[int, Interval(ge=1, le=64)] = 4
    norm_num_groups: Width = 32
    sample_size: Annotated[int, Interval(ge=1, le=MAX_SIDE)] = 32
    scaling_factor: Annotated[float, Gt(0)] = 0.18215
    shift_factor: float | None = None
    latents_mean: Literal[None] = None
    latents_std: Literal[None] = None
    force_upcast: bool = True
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True
    mid_block_add_attention: bool = True

    @property
    def factor(self) -> int:
        """How many pixels a side stand for one latent position."""
        return int(2 ** (len(self.block_out_channels) - 1))


@dataclass(frozen=True)
class ClipConfig:
    """The parameters of transformers' `CLIPTextConfig`, with its names and defaults."""

    vocab_size: Annotated[int, Interval(ge=2, le=MAX_VOCABULARY)] = 49408
    hidden_size: Width = 512
    intermediate_size: Annotated[int, Interval(ge=1, le=2**17)] = 2048
    projection_dim: Width = 512
    num_hidden_layers: Blocks = 12
    num_attention_heads: Width = 8
    max_position_embeddings: Annotated[int, Interval(ge=3, le=MAX_TOKENS)] = 77
    hidden_act: Literal["quick_gelu", "gelu"] = "quick_gelu"
    layer_norm_eps: Annotated[float, Gt(0)] = 1e-5
    attention_dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    eos_token_id: Annotated[int, Interval(ge=0, le=MAX_VOCABULARY)] = 49407
    model_type: Literal["clip_text_model"] = "clip_text_model"


@dataclass(frozen=True)
class T5Config:
    """The parameters of transformers' `T5Config` that an encoder uses, with its names and defaults."""

    vocab_size: Annotated[int, Interval(ge=2, le=MAX_VOCABULARY)] = 32128
    d_model: Width = 512
    d_kv: Width = 64
    d_ff: Annotated[int, Interval(ge=1, le=2**17)] = 2048
    num_layers: Blocks = 6
    num_heads: Width = 8
    relative_attention_num_buckets: Width = 32
    relative_attention_max_distance: Annotated[int, Interval(ge=1, le=2**16)] = 128
    dropout_rate: Annotated[float, Ge(0), Lt(1)] = 0.1
    layer_norm_epsilon: Annotated[float, Gt(0)] = 1e-6
    feed_forward_proj: Literal["relu", "gated-gelu", "gelu", "gated-silu"] = "relu"
    eos_token_id: Annotated[int, Interval(ge=0, le=MAX_VOCABULARY)] = 1
    model_type: Literal["t5"] = "t5"
