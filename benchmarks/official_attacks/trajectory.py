"""Tracing the Roots (Floros, Moosavi-Dezfooli and Dragotti 2024, arXiv 2411.07449, NeurIPS 2025).

From the paper's formula; the official code was not at hand. The features of an image are its loss, ||grad_x loss||^2
and ||grad_theta loss||^2 along the diffusion trajectory, and a linear probe judges them. The source follows all
timesteps, and fits the probe on known members of the attacked model; here every 50th timestep is taken, because all
1,000 would take an hour, and the probe, a logistic regression on the standardized features, is fitted on shadow models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.official_attacks.gradients import norms, of_chunks
from benchmarks.official_attacks.model import Model, Shadow, to_scores

TIMESTEPS = tuple(range(0, 1000, 50))


def features(model: Model) -> np.ndarray:
    """Loss, squared gradient norm of the image, and of all parameters, at each timestep, float64 [N, 3 T]."""
    rows = []
    for at in of_chunks(model, TIMESTEPS):
        by_input = [g.by_input.flatten(1).square().sum(1) for g in at]
        by_parameters = [norms(g.by_tensor).square().sum(1) for g in at]
        rows.append(torch.stack([*(g.loss for g in at), *by_input, *by_parameters], dim=1))
    return to_scores(torch.cat(rows))


def score(target: Model, shadows: Sequence[Shadow]) -> np.ndarray:
    """The log-odds of the probe."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(np.concatenate([s.model.once(features) for s in shadows]), np.concatenate([s.members for s in shadows]))
    odds: np.ndarray = probe.decision_function(target.once(features))
    return odds
