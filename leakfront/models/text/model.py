"""A text encoder and a UNet with their tokenizer and schedule, as a diffusion model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakfront.models.contract import DiffusionModel, PerExampleLoss
from leakfront.models.text.tokenizer import tokens_of, words_of

if TYPE_CHECKING:
    import torch


class TextToImageDiffusion(DiffusionModel):
    """See `leakfront.models.contract.DiffusionModel`.

    network: a `TextUNet`. tokenizer: transformers' `CLIPTokenizer`. scheduler: diffusers' `DDPMScheduler`.
    null_probability: how often a training caption is replaced by the empty one.
    """

    classes = 0

    def __init__(self, network: Any, tokenizer: Any, scheduler: Any, null_probability: float) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self._scheduler, self._null_probability = scheduler, null_probability
        height, width = network.unet.config.sample_size
        self.image_shape = (network.unet.config.in_channels, height, width)
        self.alphas_cumprod: torch.Tensor = scheduler.alphas_cumprod
        self.prediction = scheduler.config.prediction_type
        self.words = words_of(tokenizer)
        self.null = tokens_of(tokenizer, [""])[0]

    def conditions(self, labels: torch.Tensor, captions: Sequence[str] | None) -> torch.Tensor:
        """The token ids int64 [N, L] of the captions, on the device of the labels; the empty caption without any."""
        texts = captions if captions is not None else [""] * len(labels)
        return tokens_of(self.tokenizer, texts).to(labels.device)

    def embed(self, condition: torch.Tensor) -> torch.Tensor:
        embedding: torch.Tensor = self.network.embed(condition)
        return embedding

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        from leakfront.models.diffusion import to_noise

        if condition is None:
            condition = self.conditions(t, None)
        (output,) = self.network(x_t, t, condition)
        return to_noise(output, x_t, self.alphas_cumprod.to(x_t.device)[t], self.prediction)

    def parameters(self) -> dict[str, torch.Tensor]:
        return {name: value.detach() for name, value in self.network.named_parameters()}

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor
    ) -> torch.Tensor:
        import torch

        from leakfront.models.diffusion import to_noise

        (output,) = torch.func.functional_call(self.network, parameters, (x_t, t, condition))
        return to_noise(output, x_t, self.alphas_cumprod.to(x_t.device)[t], self.prediction)

    def fit(self, images: torch.Tensor) -> None:
        raise TypeError("a text-to-image model is trained, not fitted")

    def loss(self) -> PerExampleLoss:
        from leakfront.models.diffusion import DenoisingLoss

        return DenoisingLoss(self.alphas_cumprod, self.prediction, True, self.null, self._null_probability)

    def save(self, folder: Path) -> None:
        """Write a `StableDiffusionPipeline` folder without a VAE."""
        from diffusers import StableDiffusionPipeline

        with silent():  # it would warn that there is no VAE
            pipeline: Any = StableDiffusionPipeline(
                vae=None, text_encoder=self.network.text_encoder, tokenizer=self.tokenizer, unet=self.network.unet,
                scheduler=self._scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False,
            )  # fmt: skip
            pipeline.save_pretrained(folder, safe_serialization=True)


@contextmanager
def silent() -> Iterator[None]:
    """Keep diffusers and transformers from writing warnings and progress to the terminal inside the block."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    before = [(library, library.get_verbosity()) for library in (of_diffusers, of_transformers)]
    bars = of_transformers.is_progress_bar_enabled()
    try:
        for library, _ in before:
            library.set_verbosity_error()
        of_transformers.disable_progress_bar()
        yield
    finally:
        for library, verbosity in before:
            library.set_verbosity(verbosity)
        if bars:
            of_transformers.enable_progress_bar()
