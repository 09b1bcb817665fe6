"""Dataset inference: is a whole set of images among the training data?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leakfront.attacks import Attack, Scores, Shadow, Signal, Target, register
from leakfront.attacks.lira import LiRA
from leakfront.attacks.loss import Loss
from leakfront.attacks.pfami import PFAMI
from leakfront.attacks.pia import PIA
from leakfront.attacks.pian import PIAN
from leakfront.attacks.rediffuse import ReDiffuse
from leakfront.attacks.secmi import SecMI
from leakfront.attacks.shadow_models.fit import fit_and_score, fitted_on
from leakfront.attacks.sima import SimA
from leakfront.errors import InputError

_STRONG_LIRA = LiRA(timesteps=(100, 200), draws=16, flips=True)
_FEATURES: tuple[Attack, ...] = (Loss(), _STRONG_LIRA, PIA(), PIAN(), SecMI(), SimA(), PFAMI(), ReDiffuse())


@register("dataset_inference")
@dataclass(frozen=True)
class DatasetInference(Attack):
    """Copyrighted data identification, CDI (Dubiński et al. 2024, arXiv 2411.12858, CVPR 2025).

    An image's features [P, d] are all that the attacks `loss`, `pia`, `pian`, `secmi`, `sima`, `pfami` and `rediffuse`
    measure of it at their defaults, but for SecMI's map, and the losses of the strong form of `lira` (16 draws, mirror
    images, two timesteps). A logistic regression on their standardized logarithms, fitted
    on shadow models, scores it by its log-odds of membership. Sets of `sizes` images are then tested as a whole: is
    their mean score higher than that of known non-members (Welch's t test; leakfront/results/statistics/set_test.py)?
    The source fits on a part of the suspected set and of the non-members, here the fit is on other models; it adds
    features of its own (gradient masking, multiple loss, noise optimization), which are left out.
    Access: loss. Model calls per image: those of these attacks together, each query made once (273); none beside
    them if they run too. It needs shadow models of the same kind as the target, and the test needs non-members of the
    same distribution as the set.
    """

    access = "loss"
    shadows = "fit"
    minimum_shadows = 1
    summary = "the features of eight attacks together, fitted on shadow models; tests whole sets"

    sizes: tuple[int, ...] = (10, 20, 50, 100)

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 2:
            raise InputError(
                f"attacks.dataset_inference.sizes is {list(self.sizes)}; it must be a list of numbers of at least 2"
            )

    def set_sizes(self) -> tuple[int, ...]:
        return self.sizes

    def signals(self) -> list[Signal]:
        return list(dict.fromkeys(signal for attack in _FEATURES for signal in attack.signals()))

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        def features(model: Target) -> np.ndarray:
            arrays = [
                values.reshape(len(values), -1)
                for signal in self.signals()
                for name, values in sorted(model.signals[signal].items())
                if name != "map"
            ]
            return np.concatenate(arrays, axis=1)

        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        score = fit_and_score(classifier, features, target, shadows)
        return Scores(score, choices={"classifier": "logistic regression", "chosen by": fitted_on(shadows)})
