"""The settings of the networks that predict the noise: UNets with cross-attention, and transformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval, Lt, MaxLen, MinLen

from leakfront.models.external.unet_config import MAX_LAYERS, MAX_LEVELS, MAX_SIDE, Names, Side, Width

MAX_BLOCKS = 256  # of a transformer; Flux has 57
Layers = Annotated[int, Interval(ge=1, le=MAX_LAYERS)]
Blocks = Annotated[int, Interval(ge=0, le=MAX_BLOCKS)]
Widths = Annotated[tuple[Width, ...], MinLen(1), MaxLen(MAX_LEVELS)]
PerLevel = Annotated[tuple[Layers, ...], MinLen(1), MaxLen(MAX_LEVELS)]


@dataclass(frozen=True)
class TextUNetConfig:
    """The parameters of diffusers' `UNet2DConditionModel`, with its names and defaults.

    What no Stable Diffusion model has is fixed at its default.
    """

    sample_size: Side | tuple[Side, Side] | None = None
    in_channels: Annotated[int, Interval(ge=1, le=64)] = 4
    out_channels: Annotated[int, Interval(ge=1, le=64)] = 4
    center_input_sample: bool = False
    flip_sin_to_cos: bool = True
    freq_shift: Literal[0, 1] = 0
    down_block_types: Names = (
        "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D",
    )  # fmt: skip
    mid_block_type: Literal["UNetMidBlock2DCrossAttn", "UNetMidBlock2D"] | None = "UNetMidBlock2DCrossAttn"
    up_block_types: Names = ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D")
    only_cross_attention: bool = False
    block_out_channels: Widths = (320, 640, 1280, 1280)
    layers_per_block: Layers = 2
    downsample_padding: Literal[0, 1] = 1
    mid_block_scale_factor: Annotated[float, Gt(0)] = 1.0
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    act_fn: Literal["silu", "swish", "mish", "gelu", "relu"] = "silu"
    norm_num_groups: Width = 32
    norm_eps: Annotated[float, Gt(0)] = 1e-5
    cross_attention_dim: Width = 1280
    transformer_layers_per_block: Layers | PerLevel = 1
    reverse_transformer_layers_per_block: Literal[None] = None
    encoder_hid_dim: Literal[None] = None
    encoder_hid_dim_type: Literal[None] = None
    attention_head_dim: Width | Widths = 8
    num_attention_heads: Literal[None] = None
    dual_cross_attention: Literal[False] = False
    use_linear_projection: bool = False
    class_embed_type: Literal[None] = None
    addition_embed_type: Literal["text_time"] | None = None
    addition_time_embed_dim: Width | None = None
    num_class_embeds: Literal[None] = None
    upcast_attention: bool | None = False
    resnet_time_scale_shift: Literal["default", "scale_shift"] = "default"
    resnet_skip_time_act: Literal[False] = False
    resnet_out_scale_factor: Annotated[float, Gt(0)] = 1.0
    time_embedding_type: Literal["positional"] = "positional"
    time_embedding_dim: Width | None = None
    time_embedding_act_fn: Literal[None] = None
    timestep_post_act: Literal[None] = None
    time_cond_proj_dim: Literal[None] = None
    conv_in_kernel: Literal[1, 3] = 3
    conv_out_kernel: Literal[1, 3] = 3
    projection_class_embeddings_input_dim: Width | None = None
    attention_type: Literal["default"] = "default"
    class_embeddings_concat: Literal[False] = False
    mid_block_only_cross_attention: bool | None = None
    cross_attention_norm: Literal[None] = None
    addition_embed_type_num_heads: Literal[64] = 64

    @property
    def latent_channels(self) -> int:
        """The channels of a latent."""
        return self.in_channels

    @property
    def multiple(self) -> int:
        """What both sides of a latent must be multiples of."""
        return int(2 ** (len(self.block_out_channels) - 1))


@dataclass(frozen=True)
class SD3Config:
    """The parameters of diffusers' `SD3Transformer2DModel`, with its names and defaults."""

    sample_size: Side = 128
    patch_size: Annotated[int, Interval(ge=1, le=16)] = 2
    in_channels: Annotated[int, Interval(ge=1, le=64)] = 16
    num_layers: Blocks = 18
    attention_head_dim: Width = 64
    num_attention_heads: Width = 18
    joint_attention_dim: Width = 4096
    caption_projection_dim: Width = 1152
    pooled_projection_dim: Width = 2048
    out_channels: Annotated[int, Interval(ge=1, le=64)] | None = 16
    pos_embed_max_size: Annotated[int, Interval(ge=1, le=MAX_SIDE)] = 96
    dual_attention_layers: Annotated[tuple[Blocks, ...], MaxLen(MAX_BLOCKS)] = ()
    qk_norm: Literal["rms_norm"] | None = None

    @property
    def latent_channels(self) -> int:
        """The channels of a latent."""
        return self.in_channels

    @property
    def multiple(self) -> int:
        """What both sides of a latent must be multiples of."""
        return self.patch_size


@dataclass(frozen=True)
class FluxConfig:
    """The parameters of diffusers' `FluxTransformer2DModel`, with its names and defaults.

    in_channels: of 2x2 latent positions together.
    """

    patch_size: Literal[1] = 1
    in_channels: Annotated[int, Interval(ge=4, le=256)] = 64
    out_channels: Annotated[int, Interval(ge=4, le=256)] | None = None
    num_layers: Blocks = 19
    num_single_layers: Blocks = 38
    attention_head_dim: Width = 128
    num_attention_heads: Width = 24
    joint_attention_dim: Width = 4096
    pooled_projection_dim: Width = 768
    guidance_embeds: bool = False
    axes_dims_rope: tuple[Width, Width, Width] = (16, 56, 56)

    sample_size = None  # its config does not say
    multiple = 2  # what both sides of a latent must be multiples of

    @property
    def latent_channels(self) -> int:
        """The channels of a latent."""
        return self.in_channels // 4
