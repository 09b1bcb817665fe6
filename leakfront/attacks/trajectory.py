"""Membership inference from losses and gradients along the diffusion trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.attacks.gsa import EQUIDISTANT, Gradients, check_timesteps
from leakfront.attacks.shadow_models.fit import fit_and_score, fitted_on


@register("trajectory")
@dataclass(frozen=True)
class Trajectory(Attack):
    """Tracing the Roots (Floros, Moosavi-Dezfooli, Dragotti 2024, arXiv 2411.07449, NeurIPS 2025).

    An image's features are the loss, ||grad_x loss||^2 and ||grad_theta loss||^2 at each of T timesteps, [P, 3 T]. A
    linear probe judges them: logistic regression on their standardized logarithms, fitted on shadow models; the score
    is its log-odds. The source follows all timesteps of the trajectory and fits on known members and other images of
    the one model; here there are 10 timesteps, those of `gsa`, and the fit is on other models. All losses are of one
    draw of the noise.
    Access: gradients. Model calls per image: 3 x timesteps (30), all shared with `gsa` of the same timesteps.
    It needs shadow models of the same kind as the target, and does not tell generated images from real ones, as the
    source's other probes do.
    """

    access = "gradients"
    shadows = "fit"
    minimum_shadows = 1
    summary = "a linear probe on losses and gradient norms along the trajectory, fitted on shadow models"

    timesteps: tuple[int, ...] = EQUIDISTANT

    def __post_init__(self) -> None:
        check_timesteps("trajectory", self.timesteps)

    def signals(self) -> list[Gradients]:
        return [Gradients(self.timesteps)]

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        def trajectory(model: Target) -> np.ndarray:
            seen = model.signals[self.signals()[0]]
            return np.concatenate([seen["loss"], seen["of_input"], seen["of_parameters"]], axis=1)

        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        score = fit_and_score(probe, trajectory, target, shadows)
        return Scores(score, choices={"classifier": "logistic regression", "chosen by": fitted_on(shadows)})
