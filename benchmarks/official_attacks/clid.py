"""CLiD (Zhai et al. 2024, arXiv 2405.14800) from its authors' code, zhaisf/CLiD at 4a04008.

mia_CLiD_clip.py measures each pair at t = 485, 495 and 505, with a noise of its own at each: the error under its
caption, and what it is higher by under each third of the caption's characters and under the empty caption.
cal_clid_th.py scales two numbers, error and gain, as on the pairs of a shadow model, and takes the weight of 0, 0.1 … 1
with the best AUC there. cal_clid_xgb.py fits boosted trees on the five numbers of a shadow model; here they are
scikit-learn's, not XGBoost's, without its subsampling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import RobustScaler

from benchmarks.official_attacks.captions import TextModel
from benchmarks.official_attacks.model import to_scores

NEAR = (485, 495, 505)
WEIGHTS = tuple(i / 10 for i in range(11))

Judge = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def measured(model: TextModel) -> np.ndarray:
    """The error under the own caption, and what it is higher by under the four others, [N, 5]."""
    generator = torch.Generator().manual_seed(model.seed)
    texts = [*([third(c, part) for c in model.captions] for part in range(3)), [""] * len(model.captions)]
    errors = []
    for t in NEAR:
        noise, level = torch.randn(model.images.shape, generator=generator), model.alphas_cumprod[t]
        x = level.sqrt() * model.images + (1 - level).sqrt() * noise
        found = [(model.eps(x, t, own) - noise).square().mean(dim=(1, 2, 3)) for own in (model.captions, *texts)]
        errors.append(np.stack([to_scores(one) for one in found], axis=1))
    mean = np.mean(errors, axis=0)
    return np.concatenate([mean[:, :1], mean[:, 1:] - mean[:, :1]], axis=1)


def third(caption: str, part: int) -> str:
    """A third of the characters."""
    return caption[int(len(caption) * part / 3) : int(len(caption) * (part + 1) / 3)]


def by_threshold(target: np.ndarray, shadow: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The scores of the target's pairs, [N], from the numbers of both, [N, 5], and the shadow's members, bool [N]."""
    ours, theirs = _pairs(target), _pairs(shadow)
    scaler = RobustScaler().fit(theirs)

    def score(pairs: np.ndarray, weight: float) -> np.ndarray:
        scaled = scaler.transform(pairs)
        return np.asarray(-((1 - weight) * scaled[:, 0] + weight * scaled[:, 1]))

    best = max(WEIGHTS, key=lambda weight: float(roc_auc_score(members, score(theirs, weight))))  # the first of equals
    return score(ours, best)


def by_trees(target: np.ndarray, shadow: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The same from boosted trees on all five numbers."""
    trees = HistGradientBoostingClassifier(
        max_iter=20, max_depth=3, learning_rate=0.3, l2_regularization=1, early_stopping=False, random_state=0
    )
    return np.asarray(trees.fit(shadow, members).predict_proba(target)[:, 1])


def _pairs(numbers: np.ndarray) -> np.ndarray:
    """The error, and minus the mean gain, [N, 2]; both are low for members."""
    return np.stack([numbers[:, 0], -numbers[:, 1:].mean(axis=1)], axis=1)


# by the label of ours in the suite
JUDGES: dict[str, Judge] = {"clid": by_threshold, "clid_trees": by_trees}


def scores(numbers: Sequence[np.ndarray], members: Sequence[np.ndarray], judge: Judge) -> list[np.ndarray]:
    """The scores of each model, with the next one as its shadow model."""
    after = [*range(1, len(numbers)), 0]
    return [judge(own, numbers[other], members[other]) for own, other in zip(numbers, after, strict=True)]
