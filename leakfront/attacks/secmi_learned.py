"""Step-wise error comparing membership inference by a network."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.attacks.secmi import InversionErrors
from leakfront.attacks.shadow_models.fit import fit_and_score, fitted_on, random_state
from leakfront.errors import InputError

WEIGHT_DECAY = 3.0


@register("secmi_learned")
@dataclass(frozen=True)
class SecMILearned(Attack):
    """SecMI, the network form (SecMI_NNs; Duan et al. 2023, arXiv 2302.01316, §4).

    A network judges the map |x'_t - x_t| of the t-errors whose squares `secmi` sums, pixel by pixel [C, h, w], fitted
    on shadow models. The source fits a ResNet-18 on whole maps. Here maps are averaged down to at most 16 on a side and
    joined by the sum that `secmi` takes, logarithms are standardized, and the network is scikit-learn's perceptron with
    one hidden layer of `hidden` units, `epochs` epochs and a weight decay that suits a thousand rows. Defaults of the
    source: steps of 10 to t_sec = 100.
    Access: loss. Model calls per image: t_sec / interval + 2 (12), all shared with `secmi` of the same settings.
    It knows nothing of neighbouring pixels, and needs shadow models of the same kind as the target. From few shadow
    rows it learns less than the plain sum tells.
    """

    access = "loss"
    shadows = "fit"
    minimum_shadows = 1
    summary = "a network on the map of SecMI's errors, fitted on shadow models"

    timestep: int = 100
    interval: int = 10
    hidden: int = 32
    epochs: int = 60

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise InputError(f"attacks.secmi_learned.interval is {self.interval}; it must be at least 1")
        if self.timestep < 0 or self.timestep % self.interval:
            raise InputError(
                f"attacks.secmi_learned.timestep is {self.timestep}; it must be a multiple of the interval "
                f"{self.interval}"
            )
        for key in ("hidden", "epochs"):
            if getattr(self, key) < 1:
                raise InputError(f"attacks.secmi_learned.{key} is {getattr(self, key)}; it must be at least 1")

    def signals(self) -> list[InversionErrors]:
        return [InversionErrors(self.timestep, self.interval)]

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        def maps(model: Target) -> np.ndarray:
            seen = model.signals[self.signals()[0]]
            return np.column_stack([seen["map"].reshape(len(seen["map"]), -1), seen["errors"]])

        network = MLPClassifier(
            (self.hidden,), alpha=WEIGHT_DECAY, batch_size=64, max_iter=self.epochs, random_state=random_state(target)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is fixed
            score = fit_and_score(make_pipeline(StandardScaler(), network), maps, target, shadows)
        return Scores(score, choices={"classifier": "multilayer perceptron", "chosen by": fitted_on(shadows)})
