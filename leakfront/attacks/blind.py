"""The control that never sees the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.attacks.shadow_models.fit import fit_and_score, fitted_on


@register("blind")
@dataclass(frozen=True)
class Blind(Attack):
    """Blind baseline (Das, Zhang, Tramèr 2024, arXiv 2406.16201): guesses membership without looking at the model.

    This is a control, not an attack. With shadow models, it fits a logistic regression on the shadows' coins; the
    features are those of the images, their brightness (mean of the pixels) and their contrast (standard deviation).
    Without shadow models, the score is minus the mean distance to the `neighbours` nearest pool images in feature
    space, so typical images score high. Nobody can predict fair and independent coins from the images. If the interval
    of its AUC does not cover 0.5 (it does on about 95 of 100 splits), members and decoys differed before any training,
    and no other attack's number means anything.
    Access: none. Model calls per image: 0. It misses differences that are not linear in the features. Without shadow
    models it sees only differences in typicality.
    """

    access = "none"
    shadows = "choices"
    summary = "control: guesses membership from the images alone, and must fail"

    neighbours: Annotated[int, Ge(1)] = 10

    def minimum_pool(self) -> int:
        return self.neighbours + 1

    def note(self, shadows: int) -> str:
        return "" if shadows else "nothing is fitted: the score is the distance to the nearest pool images"

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        if not shadows:
            return Scores(-self._distance(target), choices={"chosen by": "fixed beforehand (no shadow model)"})
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        score = fit_and_score(classifier, _looks, target, shadows, logs=False)
        return Scores(score, choices={"classifier": "logistic regression", "chosen by": fitted_on(shadows)})

    def _distance(self, target: Target) -> np.ndarray:
        """Mean distance of each pool image to its nearest others in feature space, float64 [P]."""
        from sklearn.neighbors import NearestNeighbors

        index = NearestNeighbors(n_neighbors=self.neighbours).fit(target.pool.features)
        distances: np.ndarray = index.kneighbors()[0].mean(axis=1)  # without an argument: from each point to the others
        return distances


def _looks(model: Target) -> np.ndarray:
    """Features, brightness and contrast of the pool images, float64 [P, d + 2]."""
    pixels = model.pool.images.reshape(len(model.pool.images), -1) / 255
    return np.column_stack([model.pool.features, pixels.mean(axis=1), pixels.std(axis=1)])
