"""Step-wise error comparing membership inference by a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attacks import Attack, Scores, Shadow, Target, register
from attacks.secmi import InversionErrors
from attacks.shadow_fit import fit_and_score, fitted_on, random_state
from leakfront.errors import InputError


@register("secmi_learned")
@dataclass(frozen=True)
class SecMILearned(Attack):
    """SecMI, the network form (SecMI_NNs; Duan et al. 2023, arXiv 2302.01316, §4).

    A network judges the map |x'_t - x_t| of the t-errors whose squares `secmi` sums, pixel by pixel [C, h, w], fitted
    on shadow models. The source fits a ResNet-18 on whole maps. Here maps are averaged down to at most 16 on a side,
    logarithms are standardized, and the network is scikit-learn's perceptron with one hidden layer, which stops when a
    tenth of the shadows' rows, kept apart, are judged no better. Defaults of the source: steps of 10 to t_sec = 100.
    Access: loss. Model calls per image: t_sec / interval + 2 (12), all shared with `secmi` of the same settings.
    It knows nothing of neighbouring pixels, and needs shadow models of the same kind as the target.
    """

    access = "loss"
    shadows = "fit"
    minimum_shadows = 1
    summary = "a network on the map of SecMI's errors, fitted on shadow models"

    timestep: int = 100
    interval: int = 10
    hidden: int = 100

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise InputError(f"attacks.secmi_learned.interval is {self.interval}; it must be at least 1")
        if self.timestep < 0 or self.timestep % self.interval:
            raise InputError(
                f"attacks.secmi_learned.timestep is {self.timestep}; it must be a multiple of the interval "
                f"{self.interval}"
            )
        if self.hidden < 1:
            raise InputError(f"attacks.secmi_learned.hidden is {self.hidden}; it must be at least 1")

    def minimum_pool(self) -> int:
        return 40  # a tenth of the rows, kept apart, must hold members and decoys

    def signals(self) -> list[InversionErrors]:
        return [InversionErrors(self.timestep, self.interval)]

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        def maps(model: Target) -> np.ndarray:
            return model.signals[self.signals()[0]]["map"]

        # small batches: few rows must still make enough steps before it may stop
        network = MLPClassifier((self.hidden,), batch_size=32, early_stopping=True, random_state=random_state(target))
        score = fit_and_score(make_pipeline(StandardScaler(), network), maps, target, shadows)
        return Scores(score, choices={"classifier": "multilayer perceptron", "chosen by": fitted_on(shadows)})
