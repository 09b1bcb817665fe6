"""EDM's preconditioning (Karras et al. 2022, arXiv 2206.00364, Eq. 7 and Table 1), at a diffusion model's noise levels.

EDM writes x = x_0 + sigma eps, and its denoiser is D(x; sigma) = c_skip x + c_out F(c_in x), which gives F inputs and
targets of variance 1 if images have the standard deviation sigma_data:

    c_skip = sigma_data^2 / (sigma^2 + sigma_data^2), c_out = sigma sigma_data / sqrt(sigma^2 + sigma_data^2),
    c_in = 1 / sqrt(sigma^2 + sigma_data^2)

x is x_t / sqrt(ab), with sigma^2 = (1 - ab) / ab. With s = sqrt(1 - ab + sigma_data^2 ab) this becomes

    F's input: c_in x = x_t / s
    F's target: (x_0 - c_skip x) / c_out = (sqrt(1 - ab) x_0 - sigma_data^2 sqrt(ab) eps) / (sigma_data s)
    the noise: (x - D) / sigma = sqrt(1 - ab) x_t / s^2 - sigma_data sqrt(ab) F / s

The mean squared error of F is EDM's loss with its weight 1 / c_out^2. With sigma_data = 1, F would be -v. The time
embedding stays that of the timestep, in place of c_noise, and timesteps are drawn as for other models.
"""

from __future__ import annotations

import torch

SIGMA_DATA = 0.5  # EDM's, of images in [-1, 1]


def network_input(x_t: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    """c_in x, float32 [N, C, H, W], of x_t of that shape; alpha_bar [N]."""
    return x_t / _scale(alpha_bar)


def target(x_0: torch.Tensor, noise: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    """What F is trained to give, float32 [N, C, H, W]."""
    root, rest = _rows(alpha_bar.sqrt()), _rows((1 - alpha_bar).sqrt())
    return (rest * x_0 - SIGMA_DATA**2 * root * noise) / (SIGMA_DATA * _scale(alpha_bar))


def noise(output: torch.Tensor, x_t: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    """The noise prediction that follows from F's output, float32 [N, C, H, W]."""
    root, rest, scale = _rows(alpha_bar.sqrt()), _rows((1 - alpha_bar).sqrt()), _scale(alpha_bar)
    return rest * x_t / scale**2 - SIGMA_DATA * root * output / scale


def _scale(alpha_bar: torch.Tensor) -> torch.Tensor:
    """s [N, 1, 1, 1]."""
    return _rows((1 - alpha_bar + SIGMA_DATA**2 * alpha_bar).sqrt())


def _rows(values: torch.Tensor) -> torch.Tensor:
    return values[:, None, None, None]
