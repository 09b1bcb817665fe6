"""Loss threshold (Yeom et al. 2018, arXiv 1709.01604; on diffusion models Carlini et al. 2023, arXiv 2301.13188, §5.2).

Transcribed from sprintml/copyrighted_data_identification, src/attacks/features_extraction/denoising_loss.py and
scores_computation/denoising_loss.py, which cite Carlini et al., whose own code is not public. Defaults: t = 100, the
l_2 norm of the error, its mean over 5 draws of the noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.official_attacks.model import Model, Shadow, length, to_scores

TIMESTEP = 100
REPETITIONS = 5


def norms(model: Model, t: int, generator: torch.Generator) -> torch.Tensor:
    """||eps_theta(x_t, t) - eps||_2 [N] for one draw of the noise."""
    noise = model.noise(generator)
    return length(model.eps(model.noised(model.images, noise, t), t) - noise)


def mean_norm(model: Model) -> torch.Tensor:
    """The mean over the repetitions, [N]."""
    generator = model.generator()
    return torch.stack([norms(model, TIMESTEP, generator) for _ in range(REPETITIONS)]).mean(0)


def score(target: Model, shadows: Sequence[Shadow]) -> np.ndarray:
    """Minus the mean norm of the error."""
    return -to_scores(target.once(mean_norm))
