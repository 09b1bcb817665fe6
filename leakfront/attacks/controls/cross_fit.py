"""A control by cross-validation: how well features tell members from decoys that the fit has not seen."""

from __future__ import annotations

import math

import numpy as np

FOLDS = 10
FEWEST = 5  # members and decoys, or groups of near copies of each, without which nothing is fitted


def fitted_scores(features: np.ndarray, members: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray | None:
    """Scores in (0, 1), float64 [P], of images by logistic regressions that were fitted on other images.

    features: float64 [P, d]. members: bool [P]. groups: int64 [P]; images of one group, near copies of each other, are
    never on both sides of a fit. seed: of the folds. A score is the image's rank among those of its fold, since the
    log-odds of different fits do not compare; without features all are alike. None if there are too few groups of
    either side.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    sides = (len(np.unique(groups[side])) for side in (members, ~members))
    folds = min(FOLDS, *sides)
    if folds < FEWEST:
        return None
    scores = np.full(len(members), 0.5)
    if features.shape[1] == 0:
        return scores
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed % 2**32)
    for fitted, held_out in splitter.split(features, members, groups):
        if len(np.unique(members[fitted])) < 2:  # one group holds nearly all of a side
            return None
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        scores[held_out] = _ranks(model.fit(features[fitted], members[fitted]).decision_function(features[held_out]))
    return scores


def widening() -> float:
    """The factor on an interval of `fitted_scores`' AUC over that of independent scores.

    The fits share most of their images, so their errors go together: the variance grows by n_test / n_train of a fold
    (Nadeau and Bengio 2003, "Inference for the generalization error", section 5).
    """
    return math.sqrt(1 + FOLDS / (FOLDS - 1))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks in (0, 1), the mean one for equal values."""
    from scipy.stats import rankdata

    ranks: np.ndarray = (rankdata(values) - 0.5) / len(values)
    return ranks
