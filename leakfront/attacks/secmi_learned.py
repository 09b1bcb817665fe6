"""Step-wise error comparing membership inference by a network."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.attacks.secmi import check_multiples, step_difference
from leakfront.attacks.shadow_models.fit import fit_and_score, fitted_on, random_state

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries

WEIGHT_DECAY = 3.0
MAP_SIDE = 16  # whole maps of large images would be most of the data stored for a model


@dataclass(frozen=True)
class InversionErrors:
    """x'_t - x_t after deterministic DDIM inversion to t, one step up and one step back.

    "errors" [N]: its squared norm. "map" [N, C, h, w]: its absolute value, averaged down to at most 16 x 16.
    """

    timestep: int
    interval: int

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        difference = step_difference(queries, self.timestep, self.interval)
        height, width = (min(side, MAP_SIDE) for side in difference.shape[2:])
        averaged = torch.nn.functional.adaptive_avg_pool2d(difference.abs(), (height, width))
        return {"errors": difference.square().flatten(1).sum(1), "map": averaged}


@register("secmi_learned")
@dataclass(frozen=True)
class SecMILearned(Attack):
    """SecMI, the network form (SecMI_NNs; Duan et al. 2023, arXiv 2302.01316, §4).

    A network, fitted on shadow models, judges the map |x'_t - x_t| [C, h, w] of the t-errors, whose squares `secmi`
    sums. The source fits a ResNet-18 on whole maps. Here the features are the map, averaged down to at most 16 x 16,
    and the sum that `secmi` takes; their logarithms are standardized. The network is scikit-learn's perceptron with one
    hidden layer of `hidden` units, trained for `epochs` epochs with a weight decay that suits a thousand rows. By
    default there are steps of 10, as in the source, to t_sec = 100, of which its code inverts to 90 (see `secmi`).
    Access: loss. Model calls per image: t_sec / interval + 2 (12), all shared with `secmi` at the same interval.
    It ignores which pixels are neighbours, and it needs shadow models of the same kind as the target. From few shadow
    rows it learns less than the plain sum tells.
    """

    access = "loss"
    shadows = "fit"
    minimum_shadows = 1
    summary = "a network on the map of SecMI's errors, fitted on shadow models"

    timestep: Annotated[int, Ge(0)] = 100
    interval: Annotated[int, Ge(1)] = 10
    hidden: Annotated[int, Ge(1)] = 32
    epochs: Annotated[int, Ge(1)] = 60

    def validate(self) -> None:
        check_multiples(f"{self.where()}.timestep", [self.timestep], self.interval)

    @property
    def signal(self) -> InversionErrors:
        return InversionErrors(self.timestep, self.interval)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        def maps(model: Target) -> np.ndarray:
            seen = model.signals[self.signal]
            return np.column_stack([seen["map"].reshape(len(seen["map"]), -1), seen["errors"]])

        network = MLPClassifier(
            (self.hidden,), alpha=WEIGHT_DECAY, batch_size=64, max_iter=self.epochs, random_state=random_state(target)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is fixed
            score = fit_and_score(make_pipeline(StandardScaler(), network), maps, target, shadows)
        return Scores(score, choices={"classifier": "multilayer perceptron", "chosen by": fitted_on(shadows)})
