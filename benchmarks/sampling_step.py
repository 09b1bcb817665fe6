"""Sampling and probing by the harness, compared with the same calls written bare in PyTorch, and with their limit.

Sampling: DDIM steps from each sample's own noise to images as bytes, in batches. Probing: losses at several timesteps,
as the attacks of a suite ask for them, of images from bytes to arrays. The limit is the time of matrix products of as
many floating-point operations. Time is CPU time of one thread, all contenders in turn.

Run: OMP_NUM_THREADS=1 python -m benchmarks.sampling_step [digits|32x32]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import leakfront
from benchmarks.flops import LIMIT, flops_of, matrix_products
from benchmarks.side_by_side import compare
from benchmarks.steps import Shape
from leakfront.attacks.loss import Loss
from leakfront.harness.stages.probe import InBatches, ProbeSettings, measure_signals
from leakfront.harness.stages.sample import drawn
from leakfront.models.sampling import SamplerSettings, make_sampler
from leakfront.models.unet import UNet

# name: widths, image shape, images, rounds
NETWORKS: dict[str, tuple[tuple[int, ...], Shape, int, int]] = {
    "digits": ((16, 32), (1, 8, 8), 512, 5),
    "32x32": ((64, 128, 128), (3, 32, 32), 16, 3),
}
STEPS = 4
BATCHES = (64, 512)  # beside the default, 256
LOSSES = Loss(timesteps=(50, 100, 200, 300), draws=1)


def main() -> None:
    """Print two tables for each network."""
    torch.set_num_threads(1)
    for name, (channels, shape, images, rounds) in NETWORKS.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        model = UNet(channels=channels).build(shape, 10, 0)
        model.network.eval().requires_grad_(False)
        title = f"leakfront {leakfront.__version__}, {name} UNet, {images} images"
        _compare(f"{title}, {STEPS} DDIM steps", _sampling(model, images), rounds)
        _compare(f"{title}, losses at {len(LOSSES.timesteps)} timesteps", _probing(model, images), rounds)


def _compare(title: str, contenders: dict[str, Callable[[], object]], rounds: int) -> None:
    flops = flops_of(next(iter(contenders.values())))
    print(f"{flops / 1e9:.2f} GFLOP")
    compare(f"{title}, one thread", {**contenders, LIMIT: matrix_products(flops)}, rounds, clock=time.thread_time)


def _sampling(model: Any, images: int) -> dict[str, Callable[[], object]]:
    sampler = make_sampler(model, SamplerSettings(steps=STEPS), seed=0)

    def ours(batch: int) -> Callable[[], object]:
        return lambda: drawn(sampler, range(images), batch)

    batch = min(256, images)
    others = [size for size in BATCHES if size <= images]
    return {
        f"bare, batches of {batch}": lambda: [bare_samples(model, batch) for _ in range(0, images, batch)],
        f"leakfront, batches of {batch}": ours(batch),
        **{f"leakfront, batches of {size}": ours(size) for size in others},
    }


@torch.inference_mode()
def bare_samples(model: Any, batch: int) -> np.ndarray:
    """DDIM without the harness, uint8 [batch, C, H, W]."""
    x, levels = torch.randn(batch, *model.image_shape), model.alphas_cumprod
    spacing = len(levels) // STEPS
    for t in range((STEPS - 1) * spacing, -1, -spacing):
        (noise,) = model.network(x, t, return_dict=False)
        here, there = levels[t], levels[t - spacing] if t else levels[0]
        x_0 = ((x - (1 - here).sqrt() * noise) / here.sqrt()).clamp(-1, 1)
        x = there.sqrt() * x_0 + (1 - there).sqrt() * noise
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()


def _probing(model: Any, images: int) -> dict[str, Callable[[], object]]:
    pixels = np.random.default_rng(0).integers(0, 256, (images, *model.image_shape), np.uint8)
    condition, settings = torch.zeros(images, dtype=torch.long), ProbeSettings()
    return {
        "bare, batches of 256": lambda: bare_losses(model, pixels),
        "leakfront, batches of 256": lambda: measure_signals(
            LOSSES.signals(), model, InBatches(pixels, "cpu"), condition, settings, lambda *_: None
        ),
    }


@torch.inference_mode()
def bare_losses(model: Any, pixels: np.ndarray) -> np.ndarray:
    """The losses [timesteps, N] without the harness."""
    found = []
    for rows in torch.split(torch.from_numpy(pixels), 256):
        x_0 = rows.float() / 127.5 - 1
        for t in LOSSES.timesteps:
            noise, alpha_bar = torch.randn(1, *model.image_shape), model.alphas_cumprod[t]
            (output,) = model.network(alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * noise, t, return_dict=False)
            found.append((output - noise).square().flatten(1).mean(1))
    return torch.cat(found).numpy()


if __name__ == "__main__":
    main()
