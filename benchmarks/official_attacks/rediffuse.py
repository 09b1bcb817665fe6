"""ReDiffuse (Li et al. 2025, arXiv 2405.20771).

Transcribed from lijingwei0502/diffusion_mia, DDIM/components.py (`ReDiffuseAttacker`) and DDIM/attack.py
(`calculate_distance`). Defaults: t = 200, DDIM steps of 100, the mean of 10 reconstructions, the squared l_2 distance.
(DDIM/nn_attack.py replaces the distance by a ResNet-18 on its absolute value; see rediffuse_nns.py.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.official_attacks.model import Model, Shadow, to_scores

TIMESTEP = 200
INTERVAL = 100
AVERAGE = 10


def difference(model: Model) -> torch.Tensor:
    """The image minus the mean of its reconstructions, [N, C, H, W]."""
    generator = model.generator()
    total = torch.zeros_like(model.images)
    for _ in range(AVERAGE):
        x = model.noised(model.images, model.noise(generator), TIMESTEP)
        for here in range(TIMESTEP, 0, -INTERVAL):
            x = model.ddim(x, here, here - INTERVAL)
        total = total + x
    return model.images - total / AVERAGE


def score(target: Model, shadows: Sequence[Shadow]) -> np.ndarray:
    """Minus the squared distance."""
    return -to_scores(target.once(difference).square().flatten(1).sum(1))
