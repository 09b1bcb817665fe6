"""Proximal initialization attack (Kong et al. 2023, arXiv 2305.18355).

Transcribed from kong13661/PIA, DDPM/components.py (`PIA`) and DDPM/attack.py. The code scores t = 10, 20 … 300 and
prints the result of each; the paper reports t = 200, which is the one here. Norm: 4, to the fourth power.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.official_attacks.model import Model, Shadow, to_scores

TIMESTEP = 200
NORM = 4


def score(target: Model, shadows: Sequence[Shadow]) -> np.ndarray:
    """Minus ||e - eps_theta(sqrt(ab_t) x_0 + sqrt(1 - ab_t) e, t)||_4^4 with e = eps_theta(x_0, 0)."""
    noise = target.eps(target.images, 0)
    predicted = target.eps(target.noised(target.images, noise, TIMESTEP), TIMESTEP)
    return -to_scores((noise - predicted).abs().pow(NORM).flatten(1).sum(1))
