"""The settings in a diffusers pipeline folder from any source, each checked against its possible values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leakfront.documents import load_json
from leakfront.errors import InputError
from leakfront.models.contract import MAX_TIMESTEPS

INDEX, UNET, SCHEDULER = "model_index.json", "unet/config.json", "scheduler/scheduler_config.json"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
PIPELINES = ("DDPMPipeline", "DDIMPipeline")
SCHEDULERS = ("DDPMScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler")
MAX_BYTES = 4 * 2**20  # of a JSON file; 100,000 trained betas take 2 MiB
MAX_WIDTH = 2**14  # of a layer, in channels; the UNet of Dhariwal and Nichol 2021 has 1,024
MAX_LEVELS, MAX_LAYERS, MAX_SIDE = 16, 64, 4096

Width = Annotated[int, Field(ge=1, le=MAX_WIDTH)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Names = Annotated[tuple[Annotated[str, Field(pattern=r"^\w{1,64}$")], ...], Field(min_length=1, max_length=MAX_LEVELS)]
Beta = Annotated[float, Field(gt=0, lt=1)]


class UNetConfig(BaseModel):
    """The parameters of diffusers' `UNet2DModel`, with its names and defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    sample_size: Side | tuple[Side, Side]
    in_channels: Literal[1, 3] = 3
    out_channels: Literal[1, 3] = 3
    center_input_sample: bool = False
    time_embedding_type: Literal["positional"] = "positional"
    time_embedding_dim: Width | None = None
    freq_shift: Literal[0, 1] = 0
    flip_sin_to_cos: bool = True
    down_block_types: Names = ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D")
    mid_block_type: Literal["UNetMidBlock2D"] | None = "UNetMidBlock2D"
    up_block_types: Names = ("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D")
    block_out_channels: Annotated[tuple[Width, ...], Field(min_length=1, max_length=MAX_LEVELS)] = (224, 448, 672, 896)
    layers_per_block: Annotated[int, Field(ge=1, le=MAX_LAYERS)] = 2
    mid_block_scale_factor: Annotated[float, Field(gt=0)] = 1
    downsample_padding: Literal[0, 1] = 1
    downsample_type: Literal["conv", "resnet"] = "conv"
    upsample_type: Literal["conv", "resnet"] = "conv"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    act_fn: Literal["silu", "swish", "mish", "gelu", "relu"] = "silu"
    attention_head_dim: Width | None = 8
    norm_num_groups: Width = 32
    attn_norm_num_groups: Width | None = None
    norm_eps: Annotated[float, Field(gt=0)] = 1e-5
    resnet_time_scale_shift: Literal["default", "scale_shift"] = "default"
    add_attention: bool = True
    class_embed_type: None = None
    num_class_embeds: Annotated[int, Field(ge=1, le=MAX_TIMESTEPS)] | None = None
    num_train_timesteps: Annotated[int, Field(ge=1, le=MAX_TIMESTEPS)] | None = None


class SchedulerConfig(BaseModel):
    """The scheduler settings that define the forward process; its other settings concern sampling and are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, strict=True)

    num_train_timesteps: Annotated[int, Field(ge=1, le=MAX_TIMESTEPS)] = 1000
    beta_start: Beta = 0.0001
    beta_end: Beta = 0.02
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "linear"
    trained_betas: Annotated[tuple[Beta, ...], Field(min_length=1, max_length=MAX_TIMESTEPS)] | None = None
    prediction_type: Literal["epsilon", "v_prediction", "sample"] = "epsilon"
    rescale_betas_zero_snr: Literal[False] = False  # else x_t at the last timestep is pure noise, whatever the image


class Index(BaseModel):
    """The components of a pipeline: a UNet2DModel and a scheduler, both from diffusers, and no other."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    unet: tuple[Literal["diffusers"], Literal["UNet2DModel"]]
    scheduler: tuple[Literal["diffusers"], str]


Checked = TypeVar("Checked", bound=BaseModel)


def inside(folder: Path, name: str) -> Path:
    """The path of the regular file `name` in the folder; `InputError` if it is missing or a link out of the folder."""
    path, home = folder / name, folder.resolve()
    try:
        leads_out = not path.resolve().is_relative_to(home)
    except (OSError, RuntimeError) as error:  # a loop of links
        raise InputError(f"{path} cannot be resolved: {one_line(error)}") from None
    if leads_out:
        raise InputError(
            f"{path} is a link that leads out of the folder, which is not followed; copy the file into the folder"
        )
    if not path.is_file():
        only = "; weights are read from safetensors only, since other formats can run code" if name == WEIGHTS else ""
        raise InputError(f"{folder} is no diffusers pipeline of a UNet2DModel: it has no file {name}{only}")
    return path


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """The JSON object in the file `name` of the folder; `InputError` if it is no object or too large."""
    path = inside(folder, name)
    try:
        value = load_json(path, MAX_BYTES)
    except ValueError as error:
        raise InputError(f"{path} cannot be read as JSON: {one_line(error)}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} must hold a JSON object")
    return value


def check_class(path: Path, settings: dict[str, Any], known: tuple[str, ...]) -> None:
    """Raise `InputError` unless the settings name one of the `known` classes."""
    if (named := settings.get("_class_name")) not in known:
        raise InputError(f"{path}: _class_name is {named!r}; it must be {one_of(known)}; no other code is run")


def checked(section: type[Checked], path: Path, settings: dict[str, Any]) -> Checked:
    """The settings as a `section`, without diffusers' private keys ("_…"); `InputError` names the key that is wrong."""
    try:
        return section.model_validate_json(json.dumps({k: v for k, v in settings.items() if not k.startswith("_")}))
    except (ValidationError, ValueError) as error:
        first: dict[str, Any] = dict(error.errors()[0]) if isinstance(error, ValidationError) else {}
        key = ".".join(str(part) for part in first.get("loc", ()) if str(part) in settings or isinstance(part, int))
        if first.get("type") == "extra_forbidden":
            raise InputError(f"{path} has the key {key!r}, which a UNet2DModel and its pipeline do not have") from None
        if first.get("type") == "missing":
            raise InputError(f"{path} lacks the key {first['loc'][0]!r}") from None
        raise InputError(f"{path}: {key} is wrong: {str(first.get('msg', error)).lower()}") from None


def one_of(names: tuple[str, ...]) -> str:
    """The names as part of a sentence: "one of A, B"."""
    return f"one of {', '.join(names)}" if len(names) > 1 else names[0]


def one_line(error: BaseException) -> str:
    """The message of an error on one line, at most 200 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
