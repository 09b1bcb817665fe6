"""Proximal initialization attack with normalized noise (PIAN; Kong et al. 2023, arXiv 2305.18355).

Transcribed from kong13661/PIA, DDPM/components.py (`PIAN`): as `pia`, but the noise predicted at t = 0 is rescaled to
the mean absolute value sqrt(2 / pi) before it is used. t = 200 and norm 4, as in pia.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.official_attacks.model import Model, Shadow, to_scores

TIMESTEP = 200
NORM = 4


def score(target: Model, shadows: Sequence[Shadow]) -> np.ndarray:
    """Minus ||e - eps_theta(sqrt(ab_t) x_0 + sqrt(1 - ab_t) e, t)||_4^4 with the rescaled e."""
    raw = target.eps(target.images, 0)
    noise = raw / raw.abs().mean(dim=(1, 2, 3), keepdim=True) * (2 / torch.pi) ** 0.5
    predicted = target.eps(target.noised(target.images, noise, TIMESTEP), TIMESTEP)
    return -to_scores((noise - predicted).abs().pow(NORM).flatten(1).sum(1))
