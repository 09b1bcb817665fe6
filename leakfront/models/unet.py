"""The UNet of DDPM (Ho et al. 2020), built and saved by diffusers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Interval, Lt, MinLen

from leakfront.errors import InputError
from leakfront.models import DiffusionModel, ModelFamily, register
from leakfront.models.contract import Output, PerExampleLoss, Timesteps

if TYPE_CHECKING:
    import torch

MAX_BLOCKS = 1000  # in the downsampling half; the UNet of Dhariwal and Nichol 2021 for 512x512 pixels has 14


@register("unet")
@dataclass(frozen=True)
class UNet(ModelFamily):
    """Settings of diffusers' `UNet2DModel` and of its forward process.

    channels: the width at each resolution, finest first; each resolution is half of the one before. attention: the
    resolutions with self-attention, counted from 0, the finest. middle_attention: self-attention in the middle block.
    head_channels: the width of an attention head. norm_groups: the groups of each group normalization. schedule: cosine
    (squaredcos_cap_v2) suits small images, linear suits large ones. conditional: condition on the class.
    patch: p x p pixels are the channels of one position (`leakfront.models.patches`), so that channels counts
    resolutions from 1/p. prediction: what the network outputs, noise, v or the image by diffusers' names, or what EDM's
    preconditioning makes it give (`leakfront.models.preconditioning`).
    """

    summary = "diffusers' UNet2DModel, unconditional or class-conditional"

    channels: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (16, 32)
    layers_per_block: Annotated[int, Ge(1)] = 1
    attention: tuple[Annotated[int, Ge(0)], ...] = ()
    middle_attention: bool = True
    head_channels: Annotated[int, Ge(1)] = 32
    norm_groups: Annotated[int, Ge(1)] = 8
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    conditional: bool = False
    timesteps: Timesteps = 1000
    schedule: Literal["squaredcos_cap_v2", "linear", "scaled_linear"] = "squaredcos_cap_v2"
    prediction: Output = "epsilon"
    patch: Annotated[int, Interval(ge=1, le=16)] = 1

    def validate(self) -> None:
        blocks = len(self.channels) * self.layers_per_block
        if blocks > MAX_BLOCKS:
            raise InputError(
                f"model.channels has {len(self.channels)} resolutions and model.layers_per_block is "
                f"{self.layers_per_block}, which makes {blocks} blocks; there must be at most {MAX_BLOCKS}"
            )
        if any(width % self.norm_groups for width in self.channels):
            raise InputError(
                f"model.channels is {list(self.channels)}; each must be a multiple of model.norm_groups, "
                f"{self.norm_groups}"
            )
        if any(level >= len(self.channels) for level in self.attention):
            raise InputError(
                f"model.attention is {list(self.attention)}; each must lie in 0 … {len(self.channels) - 1}, since "
                f"model.channels has {len(self.channels)} resolutions"
            )
        attended = {self.channels[level] for level in self.attention}
        attended |= {self.channels[-1]} if self.middle_attention else set()
        if any(width < self.head_channels for width in attended):
            raise InputError(
                f"model.head_channels is {self.head_channels}; it must be at most the width of each level with "
                f"attention, {min(attended)} (model.attention, model.middle_attention)"
            )

    @property
    def smallest(self) -> int:
        """A lower bound on the number of weights.

        It counts the 3x3 convolutions that keep the width of their resolution. Each layer has at least 4 of them (2
        down, 2 up), and the middle has 4.
        """
        return 36 * (self.layers_per_block * sum(width**2 for width in self.channels) + self.channels[-1] ** 2)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        _, height, width = image_shape
        multiple = self.patch * 2 ** (len(self.channels) - 1)
        if height % multiple or width % multiple:
            patches = f" and model.patch is {self.patch}" if self.patch > 1 else ""
            raise InputError(
                f"model.channels has {len(self.channels)} resolutions{patches}, so each side of an image must be a "
                f"multiple of {multiple} pixels; the images are {height}x{width}"
            )

    def build(
        self, image_shape: tuple[int, int, int], classes: int, seed: int, captions: Sequence[str] = ()
    ) -> UNetDiffusion:
        """A fresh network for images (C, H, W); `classes` is used only if `conditional`."""
        import torch
        from diffusers import DDPMScheduler

        channels, height, width = image_shape
        levels = range(len(self.channels))
        torch.manual_seed(seed)
        network = _kind(self.patch)(
            sample_size=(height // self.patch, width // self.patch),
            in_channels=channels * self.patch**2,
            out_channels=channels * self.patch**2,
            block_out_channels=self.channels,
            layers_per_block=self.layers_per_block,
            down_block_types=tuple("AttnDownBlock2D" if i in self.attention else "DownBlock2D" for i in levels),
            up_block_types=tuple("AttnUpBlock2D" if i in self.attention else "UpBlock2D" for i in reversed(levels)),
            add_attention=self.middle_attention,
            attention_head_dim=self.head_channels,
            norm_num_groups=self.norm_groups,
            dropout=self.dropout,
            num_class_embeds=classes if self.conditional else None,
        )
        scheduler = DDPMScheduler(
            num_train_timesteps=self.timesteps, beta_schedule=self.schedule, prediction_type=self.prediction
        )
        return UNetDiffusion(network, scheduler)

    def load(self, folder: Path) -> UNetDiffusion:
        """The model that `save` wrote to `folder`, or any unconditional diffusers pipeline of a UNet2DModel.

        Raises `InputError` if the folder has no such pipeline.
        """
        from diffusers import DDPMScheduler

        for part in ("unet/config.json", "scheduler/scheduler_config.json"):
            if not (folder / part).is_file():  # diffusers would look for a repository of that name on the hub
                raise InputError(f"{folder} is no diffusers pipeline of a UNet2DModel: it has no {part}")
        # safetensors only, since the other formats are pickles, which can run code
        try:
            network = _kind(self.patch).from_pretrained(
                folder / "unet", use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
            )
            scheduler = DDPMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
        except Exception as error:  # diffusers can raise any error on a folder that it did not write
            raise InputError(f"{folder} cannot be read as a UNet2DModel with safetensors weights: {error}") from error
        return UNetDiffusion(network, scheduler)


def _kind(patch: int) -> Any:
    """The class of a network for patches of this size."""
    from diffusers import UNet2DModel

    from leakfront.models.patches import PatchUNet

    return PatchUNet if patch > 1 else UNet2DModel


class UNetDiffusion(DiffusionModel):
    """A UNet with its schedule; see `leakfront.models.contract.DiffusionModel`."""

    def __init__(self, network: Any, scheduler: Any) -> None:
        from leakfront.models.patches import patch_of

        self.network = network
        self._scheduler = scheduler
        height, width = network.config.sample_size
        patch = patch_of(network.config.in_channels)
        self.image_shape = (network.config.in_channels // patch**2, height * patch, width * patch)
        self.alphas_cumprod: torch.Tensor = scheduler.alphas_cumprod
        self.classes: int = network.config.num_class_embeds or 0
        self.prediction = scheduler.config.prediction_type

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        return self._noise(partial(self.network, return_dict=False), x_t, t, condition)

    def parameters(self) -> dict[str, torch.Tensor]:
        return {name: value.detach() for name, value in self.network.named_parameters()}

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor
    ) -> torch.Tensor:
        import torch

        def call(*arguments: Any) -> Any:
            return torch.func.functional_call(self.network, parameters, arguments, {"return_dict": False})

        return self._noise(call, x_t, t, condition)

    def _noise(
        self, call: Callable[..., Any], x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None
    ) -> torch.Tensor:
        """The noise prediction that follows from the output of the network, called by `call`."""
        from leakfront.models.diffusion import network_input, to_noise

        alpha_bar = self.alphas_cumprod.to(x_t.device)[t]
        (output,) = call(network_input(x_t, alpha_bar, self.prediction), t, condition if self.classes else None)
        return to_noise(output, x_t, alpha_bar, self.prediction)

    def fit(self, images: torch.Tensor) -> None:
        raise TypeError("a UNet is trained, not fitted")

    def loss(self) -> PerExampleLoss:
        from leakfront.models.diffusion import DenoisingLoss

        return DenoisingLoss(self.alphas_cumprod, self.prediction, conditional=self.classes > 0)

    def save(self, folder: Path) -> None:
        """Write a `DDPMPipeline` folder; only the parts of a network that no such pipeline can sample from.

        That is one with classes, with patches or with EDM's preconditioning.
        """
        from diffusers import DDPMPipeline

        patched = self.network.config.in_channels != self.image_shape[0]
        if self.classes or patched or self.prediction == "edm":
            self.network.save_pretrained(folder / "unet", safe_serialization=True)
            self._scheduler.save_pretrained(folder / "scheduler")
        else:
            pipeline: Any = DDPMPipeline(unet=self.network, scheduler=self._scheduler)
            pipeline.save_pretrained(folder, safe_serialization=True)
