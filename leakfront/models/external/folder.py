"""A diffusers pipeline folder from any source, read safely: it cannot run code, lead out of the folder or fill memory.

Only safetensors and JSON files are read. Every setting is checked against the values that `UNet2DModel` and a forward
process accept, and the names and shapes of the weights against those of the network, before memory is allocated.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakfront.errors import InputError
from leakfront.memory import memory
from leakfront.models.external.settings import (
    INDEX,
    PIPELINES,
    SCHEDULER,
    SCHEDULERS,
    UNET,
    WEIGHTS,
    Index,
    SchedulerConfig,
    UNetConfig,
    check_class,
    checked,
    inside,
    one_line,
    one_of,
    read_json,
)

if TYPE_CHECKING:
    import torch

# names of the parts of an attention layer in diffusers before 2023 (its `_convert_deprecated_attention_blocks`)
_OLD = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


@dataclass(frozen=True)
class ExternalPipeline:
    """A pipeline folder whose settings were read and checked; its weights have not been opened.

    scheduler: the scheduler class that the folder names. unet: the settings of the network. process: the settings of
    the forward process. image_shape: (C, H, W). classes: the number of classes, 0 for an unconditional network.
    """

    folder: Path
    scheduler: str
    unet: UNetConfig
    process: SchedulerConfig

    @classmethod
    def read(cls, folder: Path) -> ExternalPipeline:
        """Read and check the settings in a folder; `InputError` names the file and the key that are wrong."""
        if not folder.is_dir():
            state = "is a file" if folder.exists() else "does not exist"
            raise InputError(f"{folder} {state}; give the folder of a diffusers pipeline, with a {UNET} in it")
        if (folder / INDEX).exists() or (folder / INDEX).is_symlink():
            index = read_json(folder, INDEX)
            check_class(folder / INDEX, index, PIPELINES)
            of_index = checked(Index, folder / INDEX, index)
            if of_index.scheduler[1] not in SCHEDULERS:
                raise InputError(
                    f"{folder / INDEX}: scheduler is {of_index.scheduler[1]!r}; it must be {one_of(SCHEDULERS)}"
                )
        unet, scheduler = read_json(folder, UNET), read_json(folder, SCHEDULER)
        check_class(folder / UNET, unet, ("UNet2DModel",))
        check_class(folder / SCHEDULER, scheduler, SCHEDULERS)
        if "auto_map" in scheduler:
            raise InputError(f"{folder / SCHEDULER} has the key 'auto_map'; it names custom code, which is never run")
        settings = checked(UNetConfig, folder / UNET, unet)
        process = checked(SchedulerConfig, folder / SCHEDULER, scheduler)
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
        inside(folder, WEIGHTS)
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
        """The SHA-256, in hexadecimal, of the three files that define the model, wherever they lie."""
        digest = hashlib.sha256()
        for name in (UNET, SCHEDULER, WEIGHTS):
            with inside(self.folder, name).open("rb") as file:
                digest.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        return digest.hexdigest()

    def network(self) -> Any:
        """A `UNet2DModel` with these settings, without memory for its weights (on the device "meta").

        Raises `InputError` if diffusers cannot build the network, if the weights file does not contain exactly its
        tensors, or if the file is too large for this machine.
        """
        import torch
        from diffusers import UNet2DModel

        _, height, width = self.image_shape
        settings = {**self.unet.model_dump(), "sample_size": (height, width)}
        try:
            with torch.device("meta"):
                network = UNet2DModel(**settings)
        except Exception as error:  # diffusers can raise any error on settings that do not fit together
            raise InputError(f"{self.folder / UNET} cannot be built as a UNet2DModel: {one_line(error)}") from error
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
        """The tensors of the weights file, float32, by the network's names; `InputError` if a value is not finite."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = inside(self.folder, WEIGHTS)
        try:
            loaded = {_renamed(name): tensor.float() for name, tensor in load_file(path).items()}
        except (OSError, SafetensorError, ValueError) as error:
            raise InputError(f"{path} cannot be read as safetensors: {one_line(error)}") from error
        if bad := next((name for name, tensor in loaded.items() if not tensor.isfinite().all()), None):
            raise InputError(f"{path} has weights that are not finite, in {bad}")
        return loaded

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the tensors in the weights file, read from its header."""
        from safetensors import SafetensorError, safe_open

        path = inside(self.folder, WEIGHTS)
        try:
            with safe_open(path, framework="numpy") as file:
                slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
                if wrong := next((n for n, s in slices.items() if s.get_dtype() not in ("F16", "BF16", "F32")), None):
                    raise InputError(f"{path}: {wrong} is of type {slices[wrong].get_dtype()}; it must be a float")
                shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
        except (OSError, SafetensorError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} cannot be read as safetensors: {one_line(error)}") from error
        if path.stat().st_size > memory() // 4:
            raise InputError(f"{path} is larger than a quarter of the memory that this process may use")
        return shapes


def _renamed(name: str) -> str:
    """The current diffusers name of a tensor."""
    return re.sub(rf"(\.attentions\.\d+)\.({'|'.join(_OLD)})\.", lambda m: f"{m[1]}.{_OLD[m[2]]}.", name)


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape)) or "a number"
