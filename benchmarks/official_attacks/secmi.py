"""SecMI, the statistic form (Duan et al. 2023, arXiv 2302.01316).

Transcribed from jinhaoduan/SecMI, mia_evals/secmia.py (`get_intermediate_results`, `naive_statistic_attack`). Defaults:
steps of 10, t_sec = 100. The code's list of steps is range(0, 100, 10) without its first, so that it inverts to 90, and
then goes one step up to 100 and one back to 90.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.official_attacks.model import Model, Shadow, to_scores

T_SEC = 100
INTERVAL = 10


def difference(model: Model) -> torch.Tensor:
    """The latent at the last step minus the same latent after one step up and one back, [N, C, H, W]."""
    steps = list(range(0, T_SEC, INTERVAL))[1:]
    x, here = model.images, 0
    for there in steps:
        x, here = model.ddim(x, here, there), there
    above = here + INTERVAL
    return x - model.ddim(model.ddim(x, here, above), above, here)


def score(target: Model, shadows: Sequence[Shadow]) -> np.ndarray:
    """Minus the squared distance."""
    return -to_scores(target.once(difference).square().flatten(1).sum(1))
