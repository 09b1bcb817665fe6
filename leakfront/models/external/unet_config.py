"""The settings of a UNet2DModel from any source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Interval, Lt, MaxLen, MinLen

from leakfront.models.contract import MAX_TIMESTEPS
from leakfront.models.external.documents import read_section, shown

MAX_WIDTH = 2**14  # of a layer, in channels; the UNet of Dhariwal and Nichol 2021 has 1,024
MAX_LEVELS, MAX_LAYERS, MAX_SIDE = 16, 64, 4096

Width = Annotated[int, Interval(ge=1, le=MAX_WIDTH)]
Side = Annotated[int, Interval(ge=1, le=MAX_SIDE)]
Names = Annotated[tuple[str, ...], MinLen(1), MaxLen(MAX_LEVELS)]

# what diffusers' EMAModel writes beside the network's own settings
EMA = frozenset({
    "decay", "inv_gamma", "min_decay", "optimization_step", "power", "update_after_step", "use_ema_warmup",
})  # fmt: skip


@dataclass(frozen=True)
class UNetConfig:
    """The parameters of diffusers' `UNet2DModel`, with its names and defaults."""

    sample_size: Side | tuple[Side, Side] | None = None
    in_channels: Literal[1, 3] = 3
    out_channels: Annotated[int, Interval(ge=1, le=6)] = 3
    center_input_sample: bool = False
    time_embedding_type: Literal["positional"] = "positional"
    time_embedding_dim: Width | None = None
    freq_shift: Literal[0, 1] = 0
    flip_sin_to_cos: bool = True
    down_block_types: Names = ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D")
    mid_block_type: Literal["UNetMidBlock2D"] | None = "UNetMidBlock2D"
    up_block_types: Names = ("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D")
    block_out_channels: Annotated[tuple[Width, ...], MinLen(1), MaxLen(MAX_LEVELS)] = (224, 448, 672, 896)
    layers_per_block: Annotated[int, Interval(ge=1, le=MAX_LAYERS)] = 2
    mid_block_scale_factor: Annotated[float, Gt(0)] = 1.0
    downsample_padding: Literal[0, 1] = 1
    downsample_type: Literal["conv", "resnet"] = "conv"
    upsample_type: Literal["conv", "resnet"] = "conv"
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    act_fn: Literal["silu", "swish", "mish", "gelu", "relu"] = "silu"
    attention_head_dim: Width | None = 8
    norm_num_groups: Width = 32
    attn_norm_num_groups: Width | None = None
    norm_eps: Annotated[float, Gt(0)] = 1e-5
    resnet_time_scale_shift: Literal["default", "scale_shift"] = "default"
    add_attention: bool = True
    class_embed_type: Literal[None] = None
    num_class_embeds: Annotated[int, Interval(ge=1, le=MAX_TIMESTEPS)] | None = None
    num_train_timesteps: Annotated[int, Interval(ge=1, le=MAX_TIMESTEPS)] | None = None

    @property
    def learned_variance(self) -> bool:
        """Whether the second half of the output's channels is the variance (Nichol and Dhariwal 2021, Eq. 15)."""
        return self.out_channels == 2 * self.in_channels

    @property
    def levels(self) -> int:
        """The number of resolutions."""
        return len(self.block_out_channels)


def read_unet(path: Path, settings: dict[str, Any], faults: list[str]) -> UNetConfig:
    """The settings of the network in a config.json, with a sentence in `faults` for each that is wrong."""
    if (named := settings.get("_class_name")) != "UNet2DModel":
        faults.append(f"{path}: _class_name is {shown(named)}; it must be UNet2DModel; no other code is run")
    config = read_section(UNetConfig, path, settings, EMA, "a UNet2DModel does not have", faults)
    channels = config.in_channels
    if config.out_channels not in (channels, 2 * channels):
        faults.append(
            f"{path}: out_channels is {config.out_channels} and in_channels {channels}; out_channels must be "
            f"{channels}, or {2 * channels} with a learned variance"
        )
    return config
