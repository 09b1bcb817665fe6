"""Folders as people have them, each written by diffusers itself and then arranged as tools leave them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors.torch import load_file, save_file

SIZE = 8
SHAPE = (1, SIZE, SIZE)
CLASSES = 5
STEM = "diffusion_pytorch_model"
WEIGHTS = f"{STEM}.safetensors"


@dataclass(frozen=True)
class Given:
    """A folder to attack, and how plain diffusers loads the same model.

    folder: what the user names. unet: the network's folder. scheduler: that of the scheduler, whose class is stated in
    it. settings: parameters of the model in a run. load: how diffusers loads the weights.
    """

    folder: Path
    unet: Path
    scheduler: Path
    settings: dict[str, Any] = field(default_factory=dict)
    load: dict[str, Any] = field(default_factory=dict)


def network(**changes: Any) -> Any:
    """A small UNet2DModel with random weights."""
    torch.manual_seed(3)
    settings: dict[str, Any] = {
        "sample_size": SIZE, "in_channels": 1, "out_channels": 1, "block_out_channels": (8, 16), "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 8, "norm_num_groups": 8,
    }  # fmt: skip
    return diffusers.UNet2DModel(**{**settings, **changes})


def pipeline(root: Path, scheduler: Any = None, unet: Any = None, **settings: Any) -> Given:
    """unet/ and scheduler/, with a model_index.json."""
    scheduler = scheduler if scheduler is not None else diffusers.DDPMScheduler()
    (unet if unet is not None else network()).save_pretrained(root / "unet")
    scheduler.save_pretrained(root / "scheduler")
    index = {"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"],
             "scheduler": ["diffusers", type(scheduler).__name__]}  # fmt: skip
    (root / "model_index.json").write_text(json.dumps(index))
    return Given(root, root / "unet", root / "scheduler", settings)


def change(path: Path, **values: Any) -> None:
    """Set keys of a JSON file; take out those set to `...`."""
    merged = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in merged.items() if value is not ...}))


def flat(root: Path) -> Given:
    """The first pipelines on the hub: config, weights and scheduler side by side."""
    pipeline(root / "whole")
    flat_folder = root / "flat"
    flat_folder.mkdir()
    for path in (root / "whole").rglob("*"):
        if path.is_file():
            shutil.copy(path, flat_folder / path.name)
    return Given(flat_folder, flat_folder, flat_folder)


def part(root: Path) -> Given:
    """The network's folder alone, with the scheduler's beside it."""
    given = pipeline(root / "whole")
    return Given(given.unet, given.unet, given.scheduler)


def checkpoint(root: Path) -> Given:
    """A checkpoint of diffusers' script with averaged weights, before the pipeline above it was copied elsewhere."""
    from diffusers.training_utils import EMAModel

    pipeline(root / "out")
    raw = network()
    ema = EMAModel(raw.parameters(), decay=0.9, use_ema_warmup=True, power=0.75, model_cls=diffusers.UNet2DModel,
                   model_config=raw.config)  # fmt: skip
    with torch.no_grad():
        for parameter in raw.parameters():
            parameter.add_(0.1)
    ema.step(raw.parameters())
    ema.save_pretrained(root / "out" / "checkpoint-20" / "unet_ema")
    raw.save_pretrained(root / "out" / "checkpoint-20" / "unet")
    place = root / "out" / "checkpoint-20"
    return Given(place, place / "unet_ema", root / "out" / "scheduler")


def checkpoint_part(name: str) -> Callable[[Path], Given]:
    """One of the two networks in a checkpoint."""

    def make(root: Path) -> Given:
        given = checkpoint(root)
        return Given(given.folder / name, given.folder / name, given.scheduler)

    return make


def hub_cache(of: str) -> Callable[[Path], Given]:
    """A repository in the hub's cache: links from a snapshot into blobs. of: the folder in it that is named."""

    def make(root: Path) -> Given:
        whole = pipeline(root / "whole").folder
        repository = root / "hub" / "models--someone--ddpm-tiny"
        snapshot = repository / "snapshots" / ("0f" * 20)
        (repository / "blobs").mkdir(parents=True)
        for number, path in enumerate(sorted(path for path in whole.rglob("*") if path.is_file())):
            link = snapshot / path.relative_to(whole)
            link.parent.mkdir(parents=True, exist_ok=True)
            blob = repository / "blobs" / f"{number:040x}"
            shutil.move(path, blob)
            up = "/".join([".."] * (2 + len(link.relative_to(snapshot).parts) - 1))
            link.symlink_to(f"{up}/blobs/{blob.name}")
        named = {"repository": repository, "snapshot": snapshot, "unet": snapshot / "unet"}[of]
        return Given(named, snapshot / "unet", snapshot / "scheduler")

    return make


def variant(root: Path) -> Given:
    """unet/diffusion_pytorch_model.fp16.safetensors alone."""
    given = pipeline(root)
    (given.unet / WEIGHTS).unlink()
    network().half().save_pretrained(given.unet, variant="fp16")
    assert (given.unet / f"{STEM}.fp16.safetensors").is_file()
    return Given(root, given.unet, given.scheduler, load={"variant": "fp16"})


def sharded(name: str | None) -> Callable[[Path], Given]:
    """Weights in several files with an index; name: of a variant."""

    def make(root: Path) -> Given:
        given = pipeline(root)
        (given.unet / WEIGHTS).unlink()
        unet = network() if name is None else network().half()
        unet.save_pretrained(given.unet, max_shard_size="15KB", variant=name)
        assert len(list(given.unet.glob("*.safetensors"))) > 2
        return Given(root, given.unet, given.scheduler, load={"variant": name} if name else {})

    return make


def stored_as(dtype: torch.dtype) -> Callable[[Path], Given]:
    """Weights of another precision under the usual name."""

    def make(root: Path) -> Given:
        given = pipeline(root)
        save_file({k: v.to(dtype) for k, v in load_file(given.unet / WEIGHTS).items()}, given.unet / WEIGHTS)
        return given

    return make


def scheduled(name: str, **settings: Any) -> Callable[[Path], Given]:
    """A scheduler of diffusers by its class."""
    return lambda root: pipeline(root, getattr(diffusers, name)(**settings))


def with_keys(name: str, load_as: dict[str, Any] | None = None, **values: Any) -> Callable[[Path], Given]:
    """A scheduler's config with keys changed; load_as: the keys with which today's diffusers reads the same."""

    def make(root: Path) -> Given:
        given = pipeline(root, getattr(diffusers, name)())
        place = given.scheduler / "scheduler_config.json"
        change(place, **values)
        if load_as is None:
            return given
        shutil.copytree(given.scheduler, root / "as today")
        change(root / "as today" / "scheduler_config.json", **load_as)
        return Given(root, given.unet, root / "as today")

    return make


def of_network(settings: dict[str, Any] | None = None, **changes: Any) -> Callable[[Path], Given]:
    """A network with other settings; settings: of the model in a run."""
    return lambda root: pipeline(root, unet=network(**changes), **(settings or {}))


_EPSILON = {"predict_epsilon": ..., "prediction_type": "epsilon"}
_SAMPLE = {"predict_epsilon": ..., "prediction_type": "sample"}
SCHEDULERS = (
    "DDPMScheduler", "DDIMScheduler", "PNDMScheduler", "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler", "DEISMultistepScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler",
    "LMSDiscreteScheduler", "HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler",
)  # fmt: skip

KINDS: dict[str, Callable[[Path], Given]] = {
    **{name: scheduled(name) for name in SCHEDULERS},
    **{
        f"{name} without betas": with_keys(name, beta_start=..., beta_end=..., num_train_timesteps=...)
        for name in ("DDIMScheduler", "HeunDiscreteScheduler")
    },
    **{
        f"betas {name}": scheduled("DDPMScheduler", beta_schedule=name)
        for name in ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace")
    },
    "trained betas": scheduled(
        "DDIMScheduler", trained_betas=[0.01 * (i + 1) for i in range(50)], num_train_timesteps=50
    ),
    "T = 100": scheduled("DDPMScheduler", num_train_timesteps=100),
    "T = 300": scheduled("UniPCMultistepScheduler", num_train_timesteps=300, beta_schedule="squaredcos_cap_v2"),
    "v_prediction": scheduled("EulerDiscreteScheduler", prediction_type="v_prediction"),
    "sample": scheduled("DDIMScheduler", prediction_type="sample"),
    "2022, predict_epsilon false": with_keys("DDPMScheduler", _SAMPLE, predict_epsilon=False, prediction_type=...),
    "2022, predict_epsilon true": with_keys(
        "DDPMScheduler", _EPSILON, predict_epsilon=True, prediction_type=..., tensor_format="pt"
    ),
    "predict_epsilon that agrees": with_keys("DDIMScheduler", _SAMPLE, predict_epsilon=False, prediction_type="sample"),
    "flat": flat,
    "the unet alone": part,
    "checkpoint": checkpoint,
    "checkpoint, unet": checkpoint_part("unet"),
    "checkpoint, unet_ema": checkpoint_part("unet_ema"),
    "hub cache": hub_cache("repository"),
    "hub cache, snapshot": hub_cache("snapshot"),
    "hub cache, unet": hub_cache("unet"),
    "fp16 variant": variant,
    "shards": sharded(None),
    "shards of a variant": sharded("fp16"),
    "float64": stored_as(torch.float64),
    "float16": stored_as(torch.float16),
    "bfloat16": stored_as(torch.bfloat16),
    "classes": of_network(num_class_embeds=CLASSES),
    "null class": of_network({"null_class": True}, num_class_embeds=CLASSES + 1),
    "learned variance": of_network(out_channels=2),
    "learned variance of classes": of_network(out_channels=2, num_class_embeds=CLASSES),
    "any size": of_network(sample_size=None),
    "size of two sides": of_network(sample_size=(SIZE, SIZE)),
    "centred input": of_network(center_input_sample=True),
    "no middle block": of_network(mid_block_type=None),
    "resnet sampling": of_network(
        downsample_type="resnet", upsample_type="resnet", resnet_time_scale_shift="scale_shift"
    ),
}  # fmt: skip
