"""From the files of a pipeline to a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import DDPMScheduler

from leakfront.models import flow
from leakfront.models.adapters.layers import put_adapters
from leakfront.models.external.text import networks
from leakfront.models.external.text.autoencoder import Autoencoder
from leakfront.models.external.text.flow_config import FlowConfig
from leakfront.models.external.text.folder import TextPipeline
from leakfront.models.external.text.model import ExternalText

if TYPE_CHECKING:
    from leakfront.models.adapters.layers import Adapter


def built(
    source: TextPipeline,
    image_shape: tuple[int, int, int],
    dtype: torch.dtype,
    offload: bool,
    write: Callable[[Path], None],
    adapters: Mapping[str, Mapping[str, Adapter]] | None = None,
    base: TextPipeline | None = None,
    distilled: float = 3.5,
) -> ExternalText:
    """The model for images (C, H, W), its denoiser and text encoders in `dtype`, its autoencoder in float32.

    adapters: to put on its parts, by layer. base: the pipeline that the model was fine-tuned from; it gets the same
    autoencoder. distilled: the scale of distilled guidance, for a network that takes it.
    """
    autoencoder = Autoencoder(source.parts["vae"].load(torch.float32))

    def model(of: TextPipeline, own: ExternalText | None = None) -> ExternalText:
        kind = of.kind
        parts = {name: part.load(dtype) for name, part in of.parts.items() if name != "vae"}
        for name, layers in (adapters or {}).items() if of is source else ():
            put_adapters(parts[name], layers)
            for weight in parts[name].parameters():
                weight.data = weight.data.to(dtype)  # peft's are float32
            parts[name].requires_grad_(False)
        lengths = [of.length(name) for name in kind.encoders]
        tokenizers = [files.make(length) for files, length in zip(of.tokenizers.values(), lengths, strict=True)]
        make: Any = getattr(networks, kind.network)
        network = make(parts[kind.denoiser], [parts[name] for name in kind.encoders], lengths, offload)
        network.factor, network.distilled = of.factor, distilled
        found = ExternalText(
            network, autoencoder, tokenizers, image_shape, _levels(of), of.process.prediction, offload, write, own
        )
        if of.index.get("force_zeros_for_empty_prompt") is True:
            network.zero = found.null
        return found

    return model(source, model(base) if base is not None else None)


def _levels(source: TextPipeline) -> torch.Tensor:
    """The noise levels ab_t, float32 [T]."""
    if isinstance(source.process, FlowConfig):
        return flow.levels(source.process.num_train_timesteps).float()
    levels: torch.Tensor = DDPMScheduler(**source.process.settings()).alphas_cumprod
    return levels
