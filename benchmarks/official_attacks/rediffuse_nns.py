"""ReDiffuse with a network (Li et al. 2025, arXiv 2405.20771), as the paper reports it for DDIM.

Transcribed from lijingwei0502/diffusion_mia, DDIM/nn_attack.py: a ResNet-18 judges the absolute difference between the
image and the mean of its reconstructions. The source fits it on a fifth of the attacked model's members and held-out
images; here it is fitted on shadow models, in fewer and smaller steps (see resnet.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.official_attacks.model import Model, Shadow
from benchmarks.official_attacks.rediffuse import difference
from benchmarks.official_attacks.resnet import fitted_score


def score(target: Model, shadows: Sequence[Shadow]) -> np.ndarray:
    """The network's output."""
    return fitted_score(difference, target, shadows)
