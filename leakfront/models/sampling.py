"""Sampling with diffusers' schedulers; a sample does not depend on its batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from leakfront.models.contract import DiffusionModel
from leakfront.seeds import derive_seed


@dataclass(frozen=True)
class SamplerSettings:
    """scheduler: one of diffusers' solvers. steps: the number of timesteps it visits. eta: 0 for deterministic DDIM."""

    scheduler: Literal["ddim", "ddpm", "dpm_solver++"] = "ddim"
    steps: int = 50
    eta: float = 0.0


def make_scheduler(model: DiffusionModel, settings: SamplerSettings) -> Any:
    """A diffusers scheduler for noise predictions at the model's own noise levels.

    DDIM and DDPM clip the predicted x_0 to [-1, 1]; DPM-Solver++ does not.
    """
    from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

    alphas_cumprod = model.alphas_cumprod.double().cpu()
    previous = torch.cat([torch.ones(1, dtype=torch.float64), alphas_cumprod[:-1]])
    shared = {"trained_betas": (1 - alphas_cumprod / previous).numpy(), "prediction_type": "epsilon"}
    if settings.scheduler == "ddim":
        return DDIMScheduler(**shared, num_train_timesteps=len(alphas_cumprod), clip_sample=True)
    if settings.scheduler == "ddpm":
        return DDPMScheduler(**shared, num_train_timesteps=len(alphas_cumprod), clip_sample=True)
    return DPMSolverMultistepScheduler(**shared, num_train_timesteps=len(alphas_cumprod), algorithm_type="dpmsolver++")


def make_sampler(
    model: DiffusionModel, settings: SamplerSettings, seed: int, device: str = "cpu"
) -> Callable[[Sequence[int]], torch.Tensor]:
    """A function that maps sample indices [n] to images, float32 [n, C, H, W] in [-1, 1].

    Sample i starts from its own noise, which is drawn from (seed, i). A conditional model gets class i modulo the
    number of classes. So a sample depends on its index and not on its batch.
    """

    @torch.no_grad()
    def sampler(indices: Sequence[int]) -> torch.Tensor:
        generators = [torch.Generator().manual_seed(derive_seed(seed, "sample", i)) for i in indices]
        x = torch.stack([torch.randn(model.image_shape, generator=g) for g in generators]).to(device)
        labels = torch.tensor([i % model.classes for i in indices], device=device) if model.classes else None
        scheduler = make_scheduler(model, settings)
        scheduler.set_timesteps(settings.steps)
        extra: dict[str, Any] = {}
        if settings.scheduler == "ddpm" or settings.eta > 0:
            extra["generator"] = generators
        if settings.scheduler == "ddim":
            extra["eta"] = settings.eta
        for t in scheduler.timesteps:
            noise = model.predict_noise(x, torch.full((len(x),), int(t), device=device), labels)
            x = scheduler.step(noise, t, x, **extra).prev_sample
        return x.clamp(-1, 1)

    return sampler
