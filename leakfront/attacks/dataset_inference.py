"""Dataset inference: was a whole set of images in the training data?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, MinLen

from leakfront.attacks import Attack, Scores, Shadow, Signal, Target, register
from leakfront.attacks.lira import LiRA
from leakfront.attacks.loss import Loss
from leakfront.attacks.pfami import PFAMI
from leakfront.attacks.pia import PIA
from leakfront.attacks.pian import PIAN
from leakfront.attacks.rediffuse import ReDiffuse
from leakfront.attacks.secmi_learned import InversionErrors
from leakfront.attacks.shadow_models.fit import fit_and_score, fitted_on, logistic_regression
from leakfront.attacks.sima import SimA


@register("dataset_inference")
@dataclass(frozen=True)
class DatasetInference(Attack):
    """Copyrighted data identification, CDI (Dubiński et al. 2024, arXiv 2411.12858, CVPR 2025).

    An image's features [P, d] are everything that the attacks `loss`, `pia`, `pian`, `sima`, `pfami` (with one
    noise for all timesteps) and `rediffuse` measure on it at their defaults, SecMI's error at t = 100, and the
    losses of the strong form of `lira` (16 draws, mirror images, two timesteps). A logistic regression on their
    standardized logarithms, fitted on shadow models, scores the image by its log-odds of membership. With
    `calibrated`, each feature is accompanied by its difference from what it would be if the image were no member
    (see leakfront/attacks/shadow_models/calibration.py), which needs 2 shadow models. Then sets of `sizes` images
    are tested as a whole: is their mean score higher than the mean score of known non-members (Welch's t test;
    leakfront/results/statistics/set_test.py)?
    The source fits on a part of the suspected set and of the non-members; here the fit is on other models. The source
    also has features of its own (gradient masking, multiple loss, noise optimization), which are left out.
    Access: loss. Model calls per image: 273, the calls of these attacks together with each query made once; none are
    added if these attacks run too. It needs shadow models of the same kind as the target, and the test needs
    non-members from the same distribution as the set.
    """

    access = "loss"
    shadows = "fit"
    minimum_shadows = 1
    summary = "the features of eight attacks together, fitted on shadow models; tests whole sets"

    sizes: Annotated[tuple[Annotated[int, Ge(2)], ...], MinLen(1)] = (10, 20, 50, 100)

    calibrated: bool = True

    def shadows_needed(self) -> int:
        return 2 if self.calibrated else self.minimum_shadows

    def set_sizes(self) -> tuple[int, ...]:
        return self.sizes

    def signals(self) -> list[Signal]:
        strong_lira = LiRA(timesteps=(100, 200), draws=16, flips=True)
        before, after = (Loss(), strong_lira, PIA(), PIAN()), (SimA(), PFAMI(fresh_noise=False), ReDiffuse())
        asked = [[signal for attack in attacks for signal in attack.signals()] for attacks in (before, after)]
        return list(dict.fromkeys([*asked[0], InversionErrors(100, 10), *asked[1]]))

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        def features(model: Target) -> np.ndarray:
            arrays = [
                values.reshape(len(values), -1)
                for signal in self.signals()
                for name, values in sorted(model.signals[signal].items())
                if name != "map"
            ]
            return np.concatenate(arrays, axis=1)

        score = fit_and_score(logistic_regression(), features, target, shadows, calibrate=self.calibrated)
        return Scores(score, choices={"classifier": "logistic regression", "chosen by": fitted_on(shadows)})
