"""The model-blind control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.attacks.shadow_models.fit import fit_and_score, fitted_on
from leakfront.errors import InputError


@register("blind")
@dataclass(frozen=True)
class Blind(Attack):
    """Blind baseline (Das, Zhang, Tramèr 2024, arXiv 2406.16201): membership without a look at the model.

    A control, not an attack. With shadow models, a logistic regression on the images' features, their brightness (mean
    of the pixels) and contrast (standard deviation), fitted on the shadows' coins. Without them, minus the mean
    distance to the `neighbours` nearest pool images in feature space, so that typical images score high. Fair and
    independent coins cannot be told from images: if the interval of its AUC does not cover 0.5 (as it does on about 95
    splits of 100), members and decoys differ before any training, and no other attack's number means anything.
    Access: none. Model calls per image: 0. It misses a difference that is not linear in the features, and without
    shadow models all but a difference in typicality.
    """

    access = "none"
    shadows = "choices"
    summary = "control: tells members from the images alone; must not work"

    neighbours: int = 10

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise InputError(f"attacks.blind.neighbours is {self.neighbours}; it must be at least 1")

    def minimum_pool(self) -> int:
        return self.neighbours + 1

    def note(self, shadows: int) -> str:
        return "" if shadows else "nothing is fitted: the distance to the nearest pool images stands in"

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
        distances: np.ndarray = index.kneighbors()[0].mean(axis=1)  # without an argument: of each point to the others
        return distances


def _looks(model: Target) -> np.ndarray:
    """Features, brightness and contrast of the pool images, float64 [P, d + 2]."""
    pixels = model.pool.images.reshape(len(model.pool.images), -1) / 255
    return np.column_stack([model.pool.features, pixels.mean(axis=1), pixels.std(axis=1)])
