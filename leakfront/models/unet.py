"""The UNet of DDPM (Ho et al. 2020), as diffusers builds and saves it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from leakfront.errors import InputError
from leakfront.models import register
from leakfront.models.contract import check_timesteps

if TYPE_CHECKING:
    import torch

    from leakfront.models.diffusion import PerExampleLoss

MAX_BLOCKS = 1000  # on the way down; the UNet of Dhariwal and Nichol 2021 for 512x512 pixels has 14


@register("unet")
@dataclass(frozen=True)
class UNet:
    """Settings of diffusers' `UNet2DModel` and of its forward process.

    channels: width at each resolution, halving the resolution between them. attention: at which of those resolutions
    (counted from 0, the finest) self-attention is used; middle_attention: in the middle block. schedule: cosine
    (squaredcos_cap_v2) suits small images, linear the large ones. conditional: condition on the class.
    """

    summary = "diffusers' UNet2DModel, unconditional or class-conditional"
    trained = True

    channels: tuple[int, ...] = (16, 32)
    layers_per_block: int = 1
    attention: tuple[int, ...] = ()
    middle_attention: bool = True
    head_channels: int = 32
    norm_groups: int = 8
    dropout: float = 0.0
    conditional: bool = False
    timesteps: int = 1000
    schedule: Literal["squaredcos_cap_v2", "linear", "scaled_linear"] = "squaredcos_cap_v2"
    prediction: Literal["epsilon", "v_prediction", "sample"] = "epsilon"

    def __post_init__(self) -> None:
        check_timesteps(self.timesteps)
        blocks = len(self.channels) * self.layers_per_block
        if not 1 <= blocks <= MAX_BLOCKS:
            raise InputError(
                f"model.channels has {len(self.channels)} resolutions and model.layers_per_block is "
                f"{self.layers_per_block}, which makes {blocks} blocks; there must be 1 … {MAX_BLOCKS}"
            )
        if self.norm_groups < 1 or any(width < 1 for width in self.channels):
            raise InputError(
                f"model.norm_groups is {self.norm_groups} and model.channels {list(self.channels)}; they must be at "
                "least 1"
            )
        if any(width % self.norm_groups for width in self.channels):
            raise InputError(
                f"model.channels {list(self.channels)} must each be a multiple of model.norm_groups {self.norm_groups}"
            )
        if any(not 0 <= level < len(self.channels) for level in self.attention):
            raise InputError(f"model.attention {list(self.attention)} must lie in 0 … {len(self.channels) - 1}")
        attended = {self.channels[level] for level in self.attention}
        attended |= {self.channels[-1]} if self.middle_attention else set()
        if self.head_channels < 1 or any(width < self.head_channels for width in attended):
            raise InputError(
                f"model.head_channels is {self.head_channels}; it must be at least 1 and at most the width of each "
                f"level with attention, {min(attended, default=1)} (model.attention, model.middle_attention)"
            )
        if not 0 <= self.dropout < 1:
            raise InputError(f"model.dropout is {self.dropout}; it must be at least 0 and below 1")

    @property
    def smallest(self) -> int:
        """A lower bound on the number of parameters: the 3x3 convolutions that keep a resolution's width, of which
        there are at least 4 a layer (2 down, 2 up) and 4 in the middle."""
        return 36 * (self.layers_per_block * sum(width**2 for width in self.channels) + self.channels[-1] ** 2)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        _, height, width = image_shape
        multiple = 2 ** (len(self.channels) - 1)
        if height % multiple or width % multiple:
            raise InputError(
                f"model.channels has {len(self.channels)} resolutions, so images must be a multiple of {multiple} "
                f"pixels on each side; they are {height}x{width}"
            )

    def build(self, image_shape: tuple[int, int, int], classes: int, seed: int) -> UNetDiffusion:
        """A fresh network for images (C, H, W); `classes` is used only if `conditional`."""
        import torch
        from diffusers import DDPMScheduler, UNet2DModel

        channels, height, width = image_shape
        levels = range(len(self.channels))
        torch.manual_seed(seed)
        network = UNet2DModel(
            sample_size=(height, width),
            in_channels=channels,
            out_channels=channels,
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
        """The model that `save` wrote (or any unconditional diffusers pipeline of a UNet2DModel)."""
        from diffusers import DDPMScheduler, UNet2DModel

        for part in ("unet/config.json", "scheduler/scheduler_config.json"):
            if not (folder / part).is_file():  # diffusers would take the path for the name of a repository on the hub
                raise InputError(f"{folder} holds no diffusers pipeline of a UNet2DModel: it has no {part}")
        # safetensors only: the other weights are pickles
        try:
            network = UNet2DModel.from_pretrained(
                folder / "unet", use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
            )
            scheduler = DDPMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
        except Exception as error:  # diffusers raises nearly anything on a folder that is not its own
            raise InputError(f"{folder} cannot be read as a UNet2DModel with safetensors weights: {error}") from error
        return UNetDiffusion(network, scheduler)


class UNetDiffusion:
    """A UNet with its schedule; see `leakfront.models.contract.DiffusionModel`."""

    def __init__(self, network: Any, scheduler: Any) -> None:
        self.network = network
        self._scheduler = scheduler
        height, width = network.config.sample_size
        self.image_shape = (network.config.in_channels, height, width)
        self.alphas_cumprod: torch.Tensor = scheduler.alphas_cumprod
        self.classes: int = network.config.num_class_embeds or 0
        self.prediction = scheduler.config.prediction_type

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        from leakfront.models.diffusion import to_noise

        (output,) = self.network(x_t, t, labels if self.classes else None, return_dict=False)
        alpha_bar = self.alphas_cumprod.to(x_t.device)[t]
        return to_noise(output, x_t, alpha_bar, self.prediction)

    def parameters(self) -> dict[str, torch.Tensor]:
        return {name: value.detach() for name, value in self.network.named_parameters()}

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        import torch

        from leakfront.models.diffusion import to_noise

        arguments = (x_t, t, labels if self.classes else None)
        (output,) = torch.func.functional_call(self.network, parameters, arguments, {"return_dict": False})
        return to_noise(output, x_t, self.alphas_cumprod.to(x_t.device)[t], self.prediction)

    def fit(self, images: torch.Tensor) -> None:
        raise TypeError("a UNet is trained, not fitted")

    def loss(self) -> PerExampleLoss:
        from leakfront.models.diffusion import denoising_loss

        return denoising_loss(self.alphas_cumprod, self.prediction, conditional=self.classes > 0)

    def save(self, folder: Path) -> None:
        """A `DDPMPipeline` folder; a class-conditional network has no such pipeline, so its parts are saved alone."""
        from diffusers import DDPMPipeline

        if self.classes:
            self.network.save_pretrained(folder / "unet", safe_serialization=True)
            self._scheduler.save_pretrained(folder / "scheduler")
        else:
            pipeline: Any = DDPMPipeline(unet=self.network, scheduler=self._scheduler)
            pipeline.save_pretrained(folder, safe_serialization=True)
