"""Gradient-based attack by norms of every parameter tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.attacks.shadow_models.fit import fit_and_score, fitted_on, random_state
from leakfront.errors import InputError

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries

EQUIDISTANT = tuple(range(0, 1000, 100))


@dataclass(frozen=True)
class Gradients:
    """Norms of each image's gradients of the loss at T timesteps, with respect to K parameter tensors and the image.

    "of_mean" [N, K]: of the mean loss over timesteps, for each tensor. "mean" [N, K]: the mean of the norms at each
    timestep. "of_parameters" and "of_input" [N, T]: squared norms at each timestep, of all tensors together and of the
    image. "loss" [N, T].
    """

    timesteps: tuple[int, ...]
    draw: int = 0

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        if max(self.timesteps) >= queries.timesteps:
            raise InputError(
                f"timesteps of an attack by gradients reach {max(self.timesteps)}; "
                f"they must be below the model's {queries.timesteps}"
            )
        return queries.gradient_norms(self.timesteps, self.draw)._asdict()


def check_timesteps(attack: str, timesteps: Sequence[int]) -> None:
    """Raise `InputError` unless there is a timestep and all are different and at least 0."""
    if not timesteps or min(timesteps) < 0 or len(set(timesteps)) < len(timesteps):
        raise InputError(
            f"attacks.{attack}.timesteps is {list(timesteps)}; it must be a list of different numbers of at least 0"
        )


@register("gsa")
@dataclass(frozen=True)
class GSA(Attack):
    """Gradient attack based on subsampling and aggregation (Pang et al. 2023, arXiv 2308.06405, PoPETs 2025, §4).

    An image's features are one norm for each of the K parameter tensors, [P, K]. Form 1 (GSA1): of the gradient of the
    mean loss over timesteps. Form 2 (GSA2): the mean over timesteps of the gradients' norms. Boosted trees fitted on
    shadow models judge them; the score is their log-odds. Timesteps are 10, equidistant, as in the source; all losses
    are of one draw of the noise. The source's trees are XGBoost's, these scikit-learn's.
    Access: gradients. Model calls per image: 3 x timesteps (30), shared by both forms and by `trajectory`.
    It needs shadow models of the same architecture, and says nothing about why an image is judged a member.
    """

    access = "gradients"
    shadows = "fit"
    minimum_shadows = 1
    summary = "boosted trees on the gradient norm of every parameter tensor, fitted on shadow models"

    form: Literal[1, 2] = 1
    timesteps: tuple[int, ...] = EQUIDISTANT

    def __post_init__(self) -> None:
        if self.form not in (1, 2):
            raise InputError(f"attacks.gsa.form is {self.form}; it must be 1 or 2")
        check_timesteps("gsa", self.timesteps)

    def signals(self) -> list[Gradients]:
        return [Gradients(self.timesteps)]

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        from sklearn.ensemble import HistGradientBoostingClassifier

        def norms(model: Target) -> np.ndarray:
            return model.signals[self.signals()[0]]["of_mean" if self.form == 1 else "mean"]

        trees = HistGradientBoostingClassifier(early_stopping=False, random_state=random_state(target))
        score = fit_and_score(trees, norms, target, shadows)
        return Scores(score, choices={"classifier": "boosted trees", "chosen by": fitted_on(shadows)})
