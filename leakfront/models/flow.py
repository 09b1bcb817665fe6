"""Flow matching as a noise prediction, so that attacks and samplers need no second path.

A flow (Lipman et al. 2023, arXiv 2210.02747; Liu et al. 2023, arXiv 2209.03003) has x_s = (1 - s) x_0 + s eps for s
in [0, 1], and its network predicts v = eps - x_0. With c_s = sqrt((1 - s)^2 + s^2), x_s / c_s is x_t of a
diffusion model with ab = (1 - s)^2 / c_s^2 and the same noise, and eps = x_s + (1 - s) v. So the noise error at s is
(1 - s)^2 times the flow's own error ||v_hat - v||^2: compare attacks at one timestep, or divide by it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from leakfront.models.diffusion import per_image

SCALE = 1000  # networks of diffusers are called with 1000 s


def times(timesteps: int) -> torch.Tensor:
    """s_t = (t + 1/2) / T, float64 [T]; s = 1, where no signal is left, is not among them."""
    return (torch.arange(timesteps, dtype=torch.float64) + 0.5) / timesteps


def levels(timesteps: int) -> torch.Tensor:
    """ab_t, float64 [T]."""
    s = times(timesteps)
    return (1 - s) ** 2 / ((1 - s) ** 2 + s**2)


def noise_of(
    velocity: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], x_t: torch.Tensor, s: torch.Tensor
) -> torch.Tensor:
    """eps_hat [N, C, H, W] of x_t [N, C, H, W] at s [N], in the precision of x_t.

    velocity: v_hat [N, C, H, W] of x_s and of 1000 s.
    """
    c = ((1 - s) ** 2 + s**2).sqrt()
    x_s = per_image(c).to(x_t.dtype) * x_t
    return x_s + per_image(1 - s).to(x_t.dtype) * velocity(x_s, (SCALE * s).to(x_t.dtype))
