"""From the files of a pipeline to a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler

from leakfront.models.external.text import networks
from leakfront.models.external.text.autoencoder import Autoencoder
from leakfront.models.external.text.folder import TextPipeline
from leakfront.models.external.text.model import ExternalText


def built(
    source: TextPipeline,
    image_shape: tuple[int, int, int],
    dtype: torch.dtype,
    offload: bool,
    write: Callable[[Path], None],
) -> ExternalText:
    """The model for images (C, H, W), its denoiser and text encoders in `dtype`, its autoencoder in float32."""
    kind = source.kind
    parts = {name: part.load(torch.float32 if name == "vae" else dtype) for name, part in source.parts.items()}
    lengths = [source.length(name) for name in kind.encoders]
    tokenizers = [files.make(length) for files, length in zip(source.tokenizers.values(), lengths, strict=True)]
    make: Any = getattr(networks, kind.network)
    network = make(parts[kind.denoiser], [parts[name] for name in kind.encoders], lengths, offload)
    levels = DDPMScheduler(**source.process.settings()).alphas_cumprod
    return ExternalText(
        network, Autoencoder(parts["vae"]), tokenizers, image_shape, levels, source.process.prediction, offload, write
    )
