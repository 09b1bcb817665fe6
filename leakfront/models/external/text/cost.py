"""What an external model costs, from the settings of its parts alone: weights, and operations for one image."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from leakfront.models.external.text import networks
from leakfront.models.external.text.autoencoder import Autoencoder
from leakfront.models.external.text.components import empty
from leakfront.models.external.text.kinds import PipelineKind

_SIDE, _SECONDS = 1024, 0.2  # of the matrix product that is timed


@dataclass(frozen=True)
class Cost:
    """weights: the number of each part's. embed: operations (FLOPs; a multiplication and an addition are two) for one
    caption. call: of the denoiser for one image. encode, decode: of the autoencoder for one image.
    """

    weights: dict[str, int]
    embed: float
    call: float
    encode: float
    decode: float


def cost_of(
    kind: PipelineKind, settings: Mapping[str, Any], image_shape: tuple[int, int, int], lengths: Sequence[int]
) -> Cost:
    """The cost of a pipeline for images (C, H, W) and captions of these numbers of tokens. Nothing takes memory."""
    parts = {name: empty(of, settings[name], Path(name)).eval() for name, of in kind.parts.items()}
    vae = Autoencoder(parts["vae"])
    make: Any = getattr(networks, kind.network)
    network = make(parts[kind.denoiser], [parts[name] for name in kind.encoders], lengths)
    network.factor = vae.factor
    _, height, width = image_shape
    with torch.no_grad(), torch.device("meta"):
        image = torch.zeros(1, *image_shape)
        latent = torch.zeros(1, vae.channels, height // vae.factor, width // vae.factor)
        tokens = torch.zeros(1, sum(lengths), dtype=torch.long)
        embedding = network.embed(tokens)
        return Cost(
            weights={name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()},
            embed=_operations(lambda: network.embed(tokens)),
            call=_operations(lambda: network.predict(latent, torch.zeros(1), embedding)),
            encode=_operations(lambda: vae.encode(image)),
            decode=_operations(lambda: vae.decode(latent)),
        )


def _operations(work: Any) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def speed(device: str, dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product, measured now; networks reach less of it."""
    a = torch.ones(_SIDE, _SIDE, device=device, dtype=dtype)
    (a @ a).sum().item()
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < _SECONDS:
        (a @ a).sum().item()
        done += 1
    return done * 2 * _SIDE**3 / (time.perf_counter() - started)
