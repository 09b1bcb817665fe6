"""A model that was trained elsewhere: a diffusers pipeline folder of a UNet2DModel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakfront.errors import InputError
from leakfront.models import register
from leakfront.models.external.folder import ForeignPipeline
from leakfront.models.unet import UNetDiffusion

if TYPE_CHECKING:
    import torch


@register("pipeline")
@dataclass(frozen=True)
class Pipeline:
    """A folder as `DiffusionPipeline.save_pretrained` writes it, or `train/model` of a run's cell.

    It has unet/config.json, unet/diffusion_pytorch_model.safetensors and scheduler/scheduler_config.json (DDPM, DDIM or
    DPM-Solver++, whose noise levels are taken; the run's own sampler draws). Nothing else in it is opened. `path` is
    not part of any key, what the files hold is.
    """

    summary = "a model trained elsewhere: a diffusers pipeline folder of a UNet2DModel"
    trained = False
    given = True

    path: str

    @cached_property
    def _source(self) -> ForeignPipeline:
        try:
            folder = Path(self.path).expanduser()
            return ForeignPipeline.read(folder)
        except (OSError, RuntimeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            cause = getattr(error, "strerror", None) or error
            raise InputError(f"the path of the model cannot be resolved ({cause}): {self.path!r}") from None

    @cached_property
    def _version(self) -> dict[str, str]:
        return {"sha256": self._source.checksum()}

    def version(self) -> dict[str, str]:
        """What the model depends on, wherever it lies: the SHA-256 of its files."""
        return self._version

    @property
    def timesteps(self) -> int:
        """The number of noise levels."""
        return self._source.process.num_train_timesteps

    @property
    def classes(self) -> int:
        """The number of classes that it is conditioned on, 0 if it is unconditional."""
        return self._source.classes

    @property
    def conditional(self) -> bool:
        return self.classes > 0

    def check(self, image_shape: tuple[int, int, int]) -> None:
        if image_shape != self._source.image_shape:
            (channels, height, width), mine = image_shape, self._source.image_shape
            raise InputError(
                f"the model in {self.path} is of {mine[1]}x{mine[2]} images with {_colours(mine[0])}, but the images "
                f"have {height}x{width} pixels and {_colours(channels)}; give images of the model's size, or set "
                f"data.params.size = {mine[1]} and data.params.mode = {'grey' if mine[0] == 1 else 'rgb'!r} to "
                "convert them as they were for its training"
            )
        levels = len(self._source.unet.block_out_channels)
        if any(side % 2 ** (levels - 1) for side in image_shape[1:]):
            raise InputError(
                f"the model in {self.path} has {levels} resolutions, so sample_size in its unet/config.json must be a "
                f"multiple of {2 ** (levels - 1)}"
            )

    def examine(self) -> None:
        """Raise `InputError` unless settings and weights fit together; reads no weights, and takes seconds."""
        self._source.network()

    def build(self, image_shape: tuple[int, int, int], classes: int, seed: int) -> GivenDiffusion:
        """The model in the folder; nothing of it is drawn, whatever the seed."""
        return _loaded(self._source)

    def load(self, folder: Path) -> GivenDiffusion:
        """The copy that `save` wrote to a run's folder."""
        return _loaded(ForeignPipeline.read(folder))


class GivenDiffusion(UNetDiffusion):
    """A UNet that was trained elsewhere."""

    def fit(self, images: torch.Tensor) -> None:
        """Nothing: it is what it is."""


def _loaded(source: ForeignPipeline) -> GivenDiffusion:
    from diffusers import DDPMScheduler

    network: Any = source.network()
    network.load_state_dict(source.weights(), assign=True)
    settings = source.process.model_dump()
    settings["trained_betas"] = list(settings["trained_betas"]) if settings["trained_betas"] else None
    return GivenDiffusion(network.eval().requires_grad_(False), DDPMScheduler(**settings))


def _colours(channels: int) -> str:
    return "1 channel (grey)" if channels == 1 else f"{channels} channels"
