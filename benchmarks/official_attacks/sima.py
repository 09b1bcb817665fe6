"""SimA (Rao, Qu and Moyer 2025, arXiv 2509.25003).

Transcribed from mx-ethan-rao/SimA, DDPM/components.py (`SimA`) and DDPM/attack.py. Defaults: t = 0, 20 … 100, the sum
of fourth powers. The code reports the best timestep on the attacked model itself, which no attacker knows; here it is
the best one on the shadow models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.official_attacks.model import Model, Shadow, to_scores

TIMESTEPS = tuple(range(0, 101, 20))
NORM = 4


def by_timestep(model: Model) -> np.ndarray:
    """Minus the sum over pixels of |eps_theta(x_0, t)|^4, [T, N]."""
    sizes = [model.eps(model.images, t).abs().pow(NORM).flatten(1).sum(1) for t in TIMESTEPS]
    return np.stack([-to_scores(size) for size in sizes])


def score(target: Model, shadows: Sequence[Shadow]) -> np.ndarray:
    """The scores at the timestep with the highest mean AUC on the shadow models."""
    found = [[roc_auc_score(s.members, row) for row in s.model.once(by_timestep)] for s in shadows]
    best: np.ndarray = target.once(by_timestep)[int(np.mean(found, axis=0).argmax())]
    return best
