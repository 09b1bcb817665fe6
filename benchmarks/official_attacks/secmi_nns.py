"""SecMI, the network form (SecMI_NNs; Duan et al. 2023, arXiv 2302.01316).

Transcribed from jinhaoduan/SecMI, mia_evals/secmia.py (`nns_attack`, `split_nn_datasets`): a ResNet-18 judges the
absolute error map |x - x'| of `secmi`. The source fits it on a fifth of the attacked model's members and held-out
images; here it is fitted on shadow models, in fewer and smaller steps (see resnet.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.official_attacks.model import Model, Shadow
from benchmarks.official_attacks.resnet import fitted_score
from benchmarks.official_attacks.secmi import difference


def score(target: Model, shadows: Sequence[Shadow]) -> np.ndarray:
    """The network's output."""
    return fitted_score(difference, target, shadows)
