"""Gradient attack by the gradient norm of every parameter tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from leakfront.attacks import Attack, Scores, Shadow, Target, Timesteps, register
from leakfront.attacks.shadow_models.fit import fit_and_score, fitted_on, logistic_regression, random_state
from leakfront.errors import InputError

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries

EQUIDISTANT = tuple(range(0, 1000, 100))


@dataclass(frozen=True)
class Gradients:
    """Norms of each image's gradients of the loss at T timesteps, with respect to K parameter tensors and the image.

    With `fresh_noise`, each timestep has a draw of its own; otherwise all share one.
    "of_mean" [N, K]: for each tensor, the norm of the gradient of the mean loss over timesteps. "mean" [N, K]: for each
    tensor, the mean over timesteps of the gradient's norm. "of_parameters" and "of_input" [N, T]: the squared norm at
    each timestep, of all tensors together and of the image. "loss" [N, T]: the loss at each timestep.
    """

    timesteps: tuple[int, ...]
    fresh_noise: bool

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        if max(self.timesteps) >= queries.timesteps:
            raise InputError(
                f"the timesteps of a gradient attack reach {max(self.timesteps)}; "
                f"they must be below the model's {queries.timesteps}"
            )
        draws = range(len(self.timesteps)) if self.fresh_noise else (0,)
        return queries.gradient_norms(self.timesteps, tuple(draws))._asdict()


def check_distinct(where: str, timesteps: Sequence[int]) -> None:
    """Raise `InputError` if a timestep occurs twice; `where` names the attack in the sentence."""
    if len(set(timesteps)) < len(timesteps):
        raise InputError(f"{where}.timesteps is {list(timesteps)}; it must be a list of different numbers")


@register("gsa")
@dataclass(frozen=True)
class GSA(Attack):
    """Gradient attack based on subsampling and aggregation (Pang et al. 2023, arXiv 2308.06405, PoPETs 2025, §4).

    An image's features are one norm for each of the K parameter tensors, [P, K]. In form 1 (GSA1) it is the norm of the
    gradient of the mean loss over timesteps; in form 2 (GSA2) it is the mean over timesteps of the gradients' norms. A
    classifier, fitted on shadow models, judges the features; the score is its log-odds. There are 10 equidistant
    timesteps, as in the source, each with noise of its own; without `fresh_noise` all share one. They begin at 0, where
    those of its script begin at 100. The source uses XGBoost's trees; here they are scikit-learn's, or a logistic
    regression on the standardized logarithms. With `calibrated`, each feature is accompanied by its difference from
    what it would be if the image were no member (see leakfront/attacks/shadow_models/calibration.py), which needs 2
    shadow models.
    Access: gradients. Model calls per image: 3 x timesteps (30), shared by both forms and by `trajectory`.
    It needs shadow models of the same architecture, and it does not tell why it judges an image a member.
    """

    access = "gradients"
    shadows = "fit"
    minimum_shadows = 1
    summary = "a classifier of the gradient norms of all parameter tensors, fitted on shadow models"

    form: Literal[1, 2] = 1
    timesteps: Timesteps = EQUIDISTANT
    classifier: Literal["logistic", "trees"] = "logistic"
    calibrated: bool = True
    fresh_noise: bool = True

    def shadows_needed(self) -> int:
        return 2 if self.calibrated else self.minimum_shadows

    def validate(self) -> None:
        check_distinct(self.where(), self.timesteps)

    @property
    def signal(self) -> Gradients:
        return Gradients(self.timesteps, self.fresh_noise)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        def norms(model: Target) -> np.ndarray:
            return model.signals[self.signal]["of_mean" if self.form == 1 else "mean"]

        name = "logistic regression" if self.classifier == "logistic" else "boosted trees"
        score = fit_and_score(self._classifier(target), norms, target, shadows, calibrate=self.calibrated)
        return Scores(score, choices={"classifier": name, "chosen by": fitted_on(shadows)})

    def _classifier(self, target: Target) -> Any:
        if self.classifier == "trees":
            from sklearn.ensemble import HistGradientBoostingClassifier

            return HistGradientBoostingClassifier(early_stopping=False, random_state=random_state(target))
        return logistic_regression()
