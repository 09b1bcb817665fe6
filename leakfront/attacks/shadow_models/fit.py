"""The shared part of the learned attacks: a classifier, fitted on the coins of shadow models, scores the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import logit

from leakfront.attacks.contract import Shadow, Target
from leakfront.attacks.shadow_models.calibration import as_non_members

FLOOR = 1e-6  # as a share of a feature's mean: anything less is a rounding error of float32, as signals are stored
_CERTAIN = 1e-12  # probabilities nearer to 0 or 1 have no reliable log-odds in float64


def fit_and_score(
    classifier: Any,
    features_of: Callable[[Target], np.ndarray],
    target: Target,
    shadows: Sequence[Shadow],
    logs: bool = True,
    calibrate: bool = False,
) -> np.ndarray:
    """Log-odds float64 [P] that each image of the target is a member.

    classifier: a scikit-learn classifier, which this function fits. features_of: a model's features of the pool images,
    [P, d] or [P, …]. logs: whether to take the logarithm of features (see `in_logs`). calibrate: whether each feature
    is accompanied by its difference from what it would be if the image were no member (see `calibration`), for which
    each shadow model has the others; at least 2 shadow models.
    """
    known, seen = [_features(features_of, shadow) for shadow in shadows], _features(features_of, target)
    if logs:
        reference = np.concatenate(known)
        known, seen = [in_logs(rows, reference) for rows in known], in_logs(seen, reference)
    if calibrate:
        members = np.stack([shadow.members for shadow in shadows])

        def with_differences(rows: np.ndarray, others: Sequence[int]) -> np.ndarray:
            as_others = as_non_members(np.stack([known[i] for i in others]), members[list(others)])
            return np.concatenate([rows, rows - as_others], axis=1)

        everyone = range(len(shadows))
        seen, known = (
            with_differences(seen, everyone),
            [with_differences(rows, [j for j in everyone if j != i]) for i, rows in enumerate(known)],
        )
    classifier.fit(*training_rows(known, shadows))
    return log_odds(classifier, seen)


def training_rows(known: Sequence[np.ndarray], shadows: Sequence[Shadow]) -> tuple[np.ndarray, np.ndarray]:
    """Every image of every shadow as a row: features float64 [shadows x P, d] and coins bool [shadows x P].

    known: the features [P, d] of each shadow model. Rows are sorted by image, features and coin, so a fit depends
    neither on the order of the pool nor on the order of the shadow models.
    """
    features = np.concatenate(known)
    coins = np.concatenate([shadow.members for shadow in shadows])
    images = [image.tobytes() for shadow in shadows for image in shadow.pool.images]
    order = sorted(range(len(coins)), key=lambda i: (images[i], features[i].tobytes(), bool(coins[i])))
    return features[order], coins[order]


def in_logs(rows: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Rows [N, d] with the logarithm of each feature that is never negative in `reference` [M, d].

    Norms and losses span orders of magnitude. Other features stay as they are. Values below `FLOOR` times the feature's
    mean in `reference` count as that. A feature that is 0 in all of `reference` becomes 0 everywhere, because nothing
    can be learned about it.
    """
    positive, scale = (reference >= 0).all(axis=0), np.abs(reference).mean(axis=0)
    floor = np.where(scale > 0, FLOOR * scale, 1.0)
    logs: np.ndarray = np.where(positive, np.where(scale > 0, np.log(np.maximum(rows, floor)), 0.0), rows)
    return logs


def logistic_regression() -> Any:
    """A logistic regression on standardized features, for `fit_and_score`."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def random_state(target: Target) -> int:
    """The target's seed in 32 bits, as scikit-learn needs it."""
    return target.seed % 2**32


def fitted_on(shadows: Sequence[Shadow]) -> str:
    """The origin of a fit, for `Scores.choices`."""
    return f"fitted on {len(shadows)} shadow model{'' if len(shadows) == 1 else 's'}"


def _features(features_of: Callable[[Target], np.ndarray], model: Target) -> np.ndarray:
    features: np.ndarray = np.asarray(features_of(model), dtype=np.float64)
    return features.reshape(len(features), -1)


def log_odds(classifier: Any, rows: np.ndarray) -> np.ndarray:
    """The log-odds [N] of rows [N, d] by a fitted scikit-learn classifier."""
    if hasattr(classifier, "decision_function"):
        odds: np.ndarray = np.asarray(classifier.decision_function(rows), dtype=np.float64)
    else:  # networks give only probabilities
        odds = logit(np.clip(classifier.predict_proba(rows)[:, 1].astype(np.float64), _CERTAIN, 1 - _CERTAIN))
    return odds
