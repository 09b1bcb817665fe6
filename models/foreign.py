"""A diffusers pipeline folder from anywhere, read so that nothing in it can run, lead out of it or take all memory.

Safetensors and JSON only, whatever else lies there; every setting is checked against what `UNet2DModel` and a forward
process can have, and the weights' names and shapes against those of the network, before memory is taken for either.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leakfront.errors import InputError
from leakfront.memory import memory
from models.contract import MAX_TIMESTEPS

if TYPE_CHECKING:
    import torch

INDEX, UNET, SCHEDULER = "model_index.json", "unet/config.json", "scheduler/scheduler_config.json"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
PIPELINES = ("DDPMPipeline", "DDIMPipeline")
SCHEDULERS = ("DDPMScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler")
MAX_BYTES = 4 * 2**20  # of a JSON file; 100,000 trained betas have 2 MiB
MAX_WIDTH = 2**14  # of a layer, in channels; the UNet of Dhariwal and Nichol 2021 has 1,024
MAX_LEVELS, MAX_LAYERS, MAX_SIDE = 16, 64, 4096
# how diffusers named the parts of an attention layer until 2023 (`_convert_deprecated_attention_blocks` there)
_OLD = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}

Width = Annotated[int, Field(ge=1, le=MAX_WIDTH)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Names = Annotated[tuple[Annotated[str, Field(pattern=r"^\w{1,64}$")], ...], Field(min_length=1, max_length=MAX_LEVELS)]
Beta = Annotated[float, Field(gt=0, lt=1)]


class _UNetConfig(BaseModel):
    """The parameters of diffusers' `UNet2DModel` by their names there, with its defaults."""

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


class _SchedulerConfig(BaseModel):
    """What of a scheduler's settings decides the forward process; the others concern its own sampling, not ours."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, strict=True)

    num_train_timesteps: Annotated[int, Field(ge=1, le=MAX_TIMESTEPS)] = 1000
    beta_start: Beta = 0.0001
    beta_end: Beta = 0.02
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "linear"
    trained_betas: Annotated[tuple[Beta, ...], Field(min_length=1, max_length=MAX_TIMESTEPS)] | None = None
    prediction_type: Literal["epsilon", "v_prediction", "sample"] = "epsilon"
    rescale_betas_zero_snr: Literal[False] = False  # at its last timestep an image would have no part in x_t


class _Index(BaseModel):
    """The components of a pipeline: a UNet2DModel and a scheduler, both diffusers' own, and nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    unet: tuple[Literal["diffusers"], Literal["UNet2DModel"]]
    scheduler: tuple[Literal["diffusers"], str]


Checked = TypeVar("Checked", bound=BaseModel)


@dataclass(frozen=True)
class ForeignPipeline:
    """A pipeline folder whose settings were read and are possible; its weights have not been opened.

    image_shape: (C, H, W). classes: of a class-conditional network, else 0. scheduler: the class it was saved with.
    """

    folder: Path
    scheduler: str
    unet: _UNetConfig
    process: _SchedulerConfig

    @classmethod
    def read(cls, folder: Path) -> ForeignPipeline:
        """Check a folder's settings; `InputError` names the file and the key that are not as they should be."""
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "does not exist"
            raise InputError(f"{folder} {what}; give the folder of a diffusers pipeline, with a {UNET} in it")
        if (folder / INDEX).exists() or (folder / INDEX).is_symlink():
            index = _json(folder, INDEX)
            _of_class(folder / INDEX, index, PIPELINES)
            of_index = _checked(_Index, folder / INDEX, index)
            if of_index.scheduler[1] not in SCHEDULERS:
                raise InputError(f"{folder / INDEX}: scheduler is {of_index.scheduler[1]!r}; it must be {_one_of()}")
        unet, scheduler = _json(folder, UNET), _json(folder, SCHEDULER)
        _of_class(folder / UNET, unet, ("UNet2DModel",))
        _of_class(folder / SCHEDULER, scheduler, SCHEDULERS)
        if "auto_map" in scheduler:
            raise InputError(f"{folder / SCHEDULER} has the key 'auto_map', for code of its own, which is never run")
        settings = _checked(_UNetConfig, folder / UNET, unet)
        process = _checked(_SchedulerConfig, folder / SCHEDULER, scheduler)
        if settings.in_channels != settings.out_channels:
            raise InputError(
                f"{folder / UNET}: out_channels is {settings.out_channels} and in_channels {settings.in_channels}; "
                "they must be equal (a learned variance is not supported)"
            )
        if process.trained_betas is not None and len(process.trained_betas) != process.num_train_timesteps:
            raise InputError(
                f"{folder / SCHEDULER}: trained_betas has {len(process.trained_betas)} values; num_train_timesteps "
                f"is {process.num_train_timesteps}"
            )
        _inside(folder, WEIGHTS)
        return cls(folder, scheduler["_class_name"], settings, process)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        size = self.unet.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return self.unet.in_channels, height, width

    @property
    def classes(self) -> int:
        return self.unet.num_class_embeds or 0

    def checksum(self) -> str:
        """SHA-256, in hexadecimal, of the files that decide what the model is, wherever they lie."""
        digest = hashlib.sha256()
        for name in (UNET, SCHEDULER, WEIGHTS):
            with _inside(self.folder, name).open("rb") as file:
                digest.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        return digest.hexdigest()

    def network(self) -> Any:
        """A `UNet2DModel` of these settings without memory for its weights; `InputError` if there can be none, or the
        file of weights does not hold exactly its tensors, or more than this machine holds."""
        import torch
        from diffusers import UNet2DModel

        _, height, width = self.image_shape
        settings = {**self.unet.model_dump(), "sample_size": (height, width)}
        try:
            with torch.device("meta"):
                network = UNet2DModel(**settings)
        except Exception as error:  # diffusers raises nearly anything on settings that do not go together
            raise InputError(f"{self.folder / UNET} makes no UNet2DModel: {_line(error)}") from error
        expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        found = {_renamed(name): shape for name, shape in self._shapes().items()}
        if expected != found:
            name = next(n for n in sorted({*expected, *found}) if expected.get(n) != found.get(n))
            raise InputError(
                f"{self.folder / WEIGHTS} does not fit {UNET}: {name} is {_shape(found.get(name))} in the file and "
                f"{_shape(expected.get(name))} in the network"
            )
        return network

    def weights(self) -> dict[str, torch.Tensor]:
        """The tensors of the file, float32, by the network's names; `InputError` if one is not finite."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = _inside(self.folder, WEIGHTS)
        try:
            loaded = {_renamed(name): tensor.float() for name, tensor in load_file(path).items()}
        except (OSError, SafetensorError, ValueError) as error:
            raise InputError(f"{path} cannot be read as safetensors: {_line(error)}") from error
        if bad := next((name for name, tensor in loaded.items() if not tensor.isfinite().all()), None):
            raise InputError(f"{path} has weights that are not finite, in {bad}")
        return loaded

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the file's tensors, from its header alone."""
        from safetensors import SafetensorError, safe_open

        path = _inside(self.folder, WEIGHTS)
        try:
            with safe_open(path, framework="numpy") as file:
                slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
                if wrong := next((n for n, s in slices.items() if s.get_dtype() not in ("F16", "BF16", "F32")), None):
                    raise InputError(f"{path}: {wrong} is of type {slices[wrong].get_dtype()}; it must be a float")
                shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
        except (OSError, SafetensorError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} cannot be read as safetensors: {_line(error)}") from error
        if path.stat().st_size > memory() // 4:
            raise InputError(f"{path} is larger than a quarter of this machine's memory")
        return shapes


def _inside(folder: Path, name: str) -> Path:
    """The regular file `name` of the folder; `InputError` if there is none, or it is a link that leads out."""
    path, home = folder / name, folder.resolve()
    try:
        leads_out = not path.resolve().is_relative_to(home)
    except (OSError, RuntimeError) as error:  # a loop of links
        raise InputError(f"{path} cannot be resolved: {_line(error)}") from None
    if leads_out:
        raise InputError(f"{path} is a link that leads out of the folder, which is not followed; copy the file there")
    if not path.is_file():
        only = "; weights are read from safetensors only, since others can run code" if name == WEIGHTS else ""
        raise InputError(f"{folder} is no diffusers pipeline of a UNet2DModel: it has no file {name}{only}")
    return path


def _json(folder: Path, name: str) -> dict[str, Any]:
    path = _inside(folder, name)
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path} is larger than {MAX_BYTES // 2**20} MiB, which no settings are")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON: {_line(error)}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} must hold a JSON object")
    return value


def _of_class(path: Path, settings: dict[str, Any], known: tuple[str, ...]) -> None:
    if (named := settings.get("_class_name")) not in known:
        raise InputError(f"{path}: _class_name is {named!r}; it must be {_one_of(known)}, and no other code is run")


def _checked(section: type[Checked], path: Path, settings: dict[str, Any]) -> Checked:
    """The settings as `section`, those that diffusers keeps for itself ("_…") left out."""
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


def _renamed(name: str) -> str:
    """A tensor's name as diffusers has it today."""
    return re.sub(rf"(\.attentions\.\d+)\.({'|'.join(_OLD)})\.", lambda m: f"{m[1]}.{_OLD[m[2]]}.", name)


def _one_of(names: tuple[str, ...] = SCHEDULERS) -> str:
    return f"one of {', '.join(names)}" if len(names) > 1 else names[0]


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape)) or "a number"


def _line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
