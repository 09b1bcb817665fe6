"""GSA1 and GSA2 (Pang et al. 2023, arXiv 2308.06405, PoPETs 2025).

Transcribed from py85252876/GSA, DDPM/gen_l2_gradients_DDPM.py and test_attack_accuracy.py: the norm of each parameter's
gradient, of the mean loss over timesteps with fresh noise at each (GSA1); features scaled to mean 0 and deviation 1,
those of the shadow models and those of the target each by themselves; no more rows of members than of others; XGBoost
with 200 trees on 70% of them. GSA2, the mean over timesteps of the gradients' norms, is from the paper's formula; the
code holds GSA1 only. The timesteps are 10 equidistant ones of 1,000, as in the paper; the code lists 15, up to 1,499.
XGBoost is no dependency of this project. scikit-learn's boosted trees take its place, with its learning rate (0.3),
depth (6) and regularization (1); 4 images in a leaf correspond to its smallest sum of hessians, 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

from benchmarks.official_attacks.gradients import norms, of_chunks
from benchmarks.official_attacks.model import Model, Shadow, to_scores

TIMESTEPS = tuple(range(99, 1000, 100))
TREES = 200


def both(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """The features of GSA1 and of GSA2, float64 [N, K] each."""
    of_mean, mean = [], []
    for at in of_chunks(model, TIMESTEPS):
        by_tensor = zip(*(g.by_tensor for g in at), strict=True)
        of_mean.append(norms([torch.stack(parts).mean(0) for parts in by_tensor]))
        mean.append(torch.stack([norms(g.by_tensor) for g in at]).mean(0))
    return to_scores(torch.cat(of_mean)), to_scores(torch.cat(mean))


def judged(features: Callable[[Model], np.ndarray], target: Model, shadows: Sequence[Shadow]) -> np.ndarray:
    """The log-odds of membership by trees fitted on the shadow models, [N]."""
    rows, members = np.concatenate([features(s.model) for s in shadows]), np.concatenate([s.members for s in shadows])
    others = rows[~members]
    kept = rows[members][: len(others)]
    labels = np.repeat([1, 0], [len(kept), len(others)])
    x, _, y, _ = train_test_split(scale(np.vstack([kept, others])), labels, test_size=0.3, random_state=target.seed)
    trees = HistGradientBoostingClassifier(
        learning_rate=0.3, max_iter=TREES, max_leaf_nodes=None, max_depth=6, min_samples_leaf=4, l2_regularization=1.0,
        early_stopping=False, random_state=target.seed,
    )  # fmt: skip
    odds: np.ndarray = trees.fit(x, y).decision_function(scale(features(target)))
    return odds


def first(target: Model, shadows: Sequence[Shadow]) -> np.ndarray:
    """GSA1."""
    return judged(lambda model: model.once(both)[0], target, shadows)


def second(target: Model, shadows: Sequence[Shadow]) -> np.ndarray:
    """GSA2."""
    return judged(lambda model: model.once(both)[1], target, shadows)
