"""An external model, trained elsewhere: a diffusers pipeline folder of a UNet2DModel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakfront.errors import InputError
from leakfront.models import ModelFamily, register
from leakfront.models.external.folder import ExternalPipeline
from leakfront.models.unet import UNetDiffusion

if TYPE_CHECKING:
    import torch


@register("pipeline")
@dataclass(frozen=True)
class Pipeline(ModelFamily):
    """A folder as `DiffusionPipeline.save_pretrained` writes it, or the folder `train/model` of a run's cell.

    Three files are read: unet/config.json, unet/diffusion_pytorch_model.safetensors and
    scheduler/scheduler_config.json; nothing else in the folder is opened. The scheduler (DDPM, DDIM or DPM-Solver++)
    gives the noise levels; samples are drawn by the run's own sampler. Keys depend on the contents of the files and not
    on `path`.
    """

    summary = "an external model, trained elsewhere: a diffusers pipeline folder of a UNet2DModel"
    trained = False
    external = True
    places = ("path",)

    path: str

    @cached_property
    def _source(self) -> ExternalPipeline:
        try:
            return ExternalPipeline.read(Path(self.path).expanduser())
        except InputError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            cause = (isinstance(error, OSError) and error.strerror) or error
            raise InputError(f"the path of the model cannot be resolved ({cause}): {self.path!r}") from None

    @cached_property
    def _checksum(self) -> str:
        return self._source.checksum()

    def version(self) -> dict[str, str]:
        """The SHA-256 of the model's files, wherever they lie."""
        return {"sha256": self._checksum}

    @property
    def timesteps(self) -> int:
        """The number of noise levels."""
        return self._source.process.num_train_timesteps

    @property
    def classes(self) -> int:
        """The number of classes that the model is conditioned on, 0 for an unconditional model."""
        return self._source.classes

    @property
    def conditional(self) -> bool:
        return self.classes > 0

    def check(self, image_shape: tuple[int, int, int]) -> None:
        if image_shape != self._source.image_shape:
            (channels, height, width), own = image_shape, self._source.image_shape
            raise InputError(
                f"the model in {self.path} is for {own[1]}x{own[2]} images with {_colours(own[0])}, but the images "
                f"have {height}x{width} pixels and {_colours(channels)}; use images of the model's size, or set "
                f"data.params.size = {own[1]} and data.params.mode = {'grey' if own[0] == 1 else 'rgb'!r} to "
                "convert them as they were converted for its training"
            )
        levels = len(self._source.unet.block_out_channels)
        if any(side % 2 ** (levels - 1) for side in image_shape[1:]):
            raise InputError(
                f"the model in {self.path} has {levels} resolutions, so sample_size in its unet/config.json must be a "
                f"multiple of {2 ** (levels - 1)}"
            )

    def examine(self) -> None:
        """Raise `InputError` unless settings and weights fit together; takes seconds, since it reads no weights."""
        self._source.network()

    def build(self, image_shape: tuple[int, int, int], classes: int, seed: int) -> ExternalDiffusion:
        """The model in the folder; the arguments change nothing."""
        return _loaded(self._source)

    def load(self, folder: Path) -> ExternalDiffusion:
        """The copy of the model that `save` wrote to a run's folder."""
        return _loaded(ExternalPipeline.read(folder))


class ExternalDiffusion(UNetDiffusion):
    """A UNet that was trained elsewhere."""

    def fit(self, images: torch.Tensor) -> None:
        """Do nothing: the model stays as it was trained."""


def _loaded(source: ExternalPipeline) -> ExternalDiffusion:
    from diffusers import DDPMScheduler

    network: Any = source.network()
    network.load_state_dict(source.weights(), assign=True)
    settings = source.process.model_dump()
    settings["trained_betas"] = list(settings["trained_betas"]) if settings["trained_betas"] else None
    return ExternalDiffusion(network.eval().requires_grad_(False), DDPMScheduler(**settings))


def _colours(channels: int) -> str:
    return "1 channel (grey)" if channels == 1 else f"{channels} channels"
