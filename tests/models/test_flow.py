"""A flow as a noise prediction: the two known answers."""

from __future__ import annotations

from itertools import pairwise

import torch

from leakfront.models import flow


def velocity_of_a_gaussian(x_s: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """E[eps - x_0 | x_s] for x_0 ~ N(0.3, 0.25), in closed form."""
    s = (time / 1000)[:, None, None, None]
    mean, variance = 0.3, 0.25
    total = (1 - s) ** 2 * variance + s**2
    centred = x_s - (1 - s) * mean
    return s / total * centred - (mean + (1 - s) * variance / total * centred)


def test_ddim_on_the_grid_is_eulers_method_on_the_flow() -> None:
    grid, levels = flow.times(1000), flow.levels(1000)
    steps = list(range(999, 98, -100))
    x_s = torch.randn(4, 1, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x_t = x_s / ((1 - grid[999]) ** 2 + grid[999] ** 2).sqrt()
    for here, there in pairwise(steps):
        at = grid[here].expand(4)
        x_s = x_s + (grid[there] - grid[here]) * velocity_of_a_gaussian(x_s, 1000 * at)
        noise = flow.noise_of(velocity_of_a_gaussian, x_t, at)
        x_0 = (x_t - (1 - levels[here]).sqrt() * noise) / levels[here].sqrt()
        x_t = levels[there].sqrt() * x_0 + (1 - levels[there]).sqrt() * noise
    scale = ((1 - grid[steps[-1]]) ** 2 + grid[steps[-1]] ** 2).sqrt()
    torch.testing.assert_close(x_t * scale, x_s, rtol=0, atol=1e-11)


def test_the_noise_error_is_the_flows_own_error_weighed() -> None:
    generator = torch.Generator().manual_seed(1)
    x_0, eps = (torch.randn(5, 2, 3, 3, dtype=torch.float64, generator=generator) for _ in range(2))
    s = flow.times(1000)[[0, 250, 500, 900, 999]]
    wide = s[:, None, None, None]
    x_s, ab = (1 - wide) * x_0 + wide * eps, flow.levels(1000)[[0, 250, 500, 900, 999]]
    x_t = ab.sqrt()[:, None, None, None] * x_0 + (1 - ab).sqrt()[:, None, None, None] * eps
    found = flow.noise_of(velocity_of_a_gaussian, x_t, s)
    own = (velocity_of_a_gaussian(x_s, 1000 * s) - (eps - x_0)).square().sum((1, 2, 3))
    torch.testing.assert_close((found - eps).square().sum((1, 2, 3)), (1 - s) ** 2 * own, rtol=1e-9, atol=1e-14)


def test_levels_fall_and_never_end() -> None:
    levels = flow.levels(1000)
    assert ((levels > 0) & (levels < 1)).all()
    assert (levels.diff() < 0).all()
    assert (levels.float() > 0).all()
