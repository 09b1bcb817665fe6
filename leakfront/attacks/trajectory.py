"""Membership inference from losses and gradients along the diffusion trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leakfront.attacks import Attack, Scores, Shadow, Target, Timesteps, register
from leakfront.attacks.gsa import EQUIDISTANT, Gradients, check_distinct
from leakfront.attacks.shadow_models.fit import fit_and_score, fitted_on


@register("trajectory")
@dataclass(frozen=True)
class Trajectory(Attack):
    """Tracing the Roots (Floros, Moosavi-Dezfooli, Dragotti 2024, arXiv 2411.07449, NeurIPS 2025).

    An image's features are the loss, ||grad_x loss||^2 and ||grad_theta loss||^2 at each of T timesteps, [P, 3 T]. A
    linear probe judges them: a logistic regression on their standardized logarithms, fitted on shadow models. The
    score is its log-odds. The source follows all timesteps of the trajectory, and fits on known members and other
    images of the attacked model itself. Here there are 10 timesteps, those of `gsa`, and the fit is on other models.
    Each timestep has noise of its own; without `fresh_noise` all share one.
    Access: gradients. Model calls per image: 3 x timesteps (30), all shared with `gsa` at the same timesteps.
    It needs shadow models of the same kind as the target. The source has further probes, which tell generated images
    from real ones; this attack does not.
    """

    access = "gradients"
    shadows = "fit"
    minimum_shadows = 1
    summary = "a linear probe on losses and gradient norms along the trajectory, fitted on shadow models"

    timesteps: Timesteps = EQUIDISTANT
    fresh_noise: bool = True

    def validate(self) -> None:
        check_distinct(self.where(), self.timesteps)

    @property
    def signal(self) -> Gradients:
        return Gradients(self.timesteps, self.fresh_noise)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        def trajectory(model: Target) -> np.ndarray:
            seen = model.signals[self.signal]
            return np.concatenate([seen["loss"], seen["of_input"], seen["of_parameters"]], axis=1)

        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        score = fit_and_score(probe, trajectory, target, shadows)
        return Scores(score, choices={"classifier": "logistic regression", "chosen by": fitted_on(shadows)})
