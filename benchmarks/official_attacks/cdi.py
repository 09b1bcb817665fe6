"""Copyrighted data identification, CDI (Dubiński et al. 2024, arXiv 2411.12858): its 26 features and their regression.

Transcribed from sprintml/copyrighted_data_identification, src/attacks/features_extraction/ (secmi.py, pia.py,
gradient_masking.py, multiple_loss.py, noise_optim.py), scores_computation/cdi.py and conf/attack/. Features, with the
defaults: the denoising loss of loss.py; SecMI's error to t = 100 in steps of 10; PIA and PIAN at t = 200 with norm 5
(their PIAN rescales to sqrt(pi / 2)); gradient masking and the loss at t = 0, 100 … 900; at t = 100 the loss and the
length of a perturbation found by 5 iterations of L-BFGS. Quirks kept: masked pixels are compared with noise - image,
and the perturbed image is noised a second time before its loss is taken. A logistic regression on standardized
features gives the score. The source fits it on known members of the attacked model, in 5 folds; here it is fitted on
shadow models.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi, sqrt

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks.official_attacks.loss import mean_norm
from benchmarks.official_attacks.model import Model, Shadow, length, to_scores

TIMESTEPS = tuple(range(0, 1000, 100))
MASKED = 0.2  # of the pixels
PERTURBED_AT = 100
ITERATIONS = 5


def secmi(model: Model) -> torch.Tensor:
    """The distance after inversion to 100, one step up and one back, [N]."""
    x = model.images
    for here in range(0, 100, 10):
        x = model.ddim(x, here, here + 10)
    return length(x - model.ddim(model.ddim(x, 100, 110), 110, 100))


def pia(model: Model, is_normalized: bool) -> torch.Tensor:
    """The l_5 distance between the noise predicted at t = 0 and at t = 200, [N]."""
    noise = model.eps(model.images, 0)
    if is_normalized:
        noise = noise * sqrt(pi / 2) / noise.abs().mean(dim=(1, 2, 3), keepdim=True)
    return length(noise - model.eps(model.noised(model.images, noise, 200), 200), p=5)


def multiple_loss(model: Model) -> list[torch.Tensor]:
    """The norm of the error at each timestep, with one noise for all of them."""
    noise = model.noise(model.generator(1))
    noised = [model.noised(model.images, noise, t) for t in TIMESTEPS]
    return [length(model.eps(x, t) - noise) for x, t in zip(noised, TIMESTEPS, strict=True)]


def gradient_masking(model: Model) -> list[torch.Tensor]:
    """At each timestep, the error on the pixels with the largest gradient of the loss, which noise has replaced."""
    noise = model.noise(model.generator(2))
    found = []
    for t in TIMESTEPS:
        with torch.enable_grad():
            x_t = model.noised(model.images, noise, t).requires_grad_(True)
            loss = length(model.eps(x_t, t) - noise).mean()
            (gradient,) = torch.autograd.grad(loss, x_t)
        sizes = gradient.flatten(1).abs()
        top = sizes.topk(int(sizes.shape[1] * MASKED), dim=1).indices
        mask = torch.zeros_like(sizes).scatter_(1, top, 1.0).reshape(gradient.shape)
        predicted = model.eps(torch.where(mask > 0, noise, model.images), t)
        found.append(length((noise - model.images - predicted) * mask))
    return found


def noise_optimization(model: Model) -> list[torch.Tensor]:
    """The loss after a perturbation that lowers it, and the perturbation's length."""
    noise = model.noise(model.generator(3))
    noised = model.noised(model.images, noise, PERTURBED_AT)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        with torch.enable_grad():
            perturbation = torch.from_numpy(flat).reshape(noised.shape).requires_grad_(True)
            predicted = model.eps((noised + perturbation).float(), PERTURBED_AT)
            loss = length(predicted - noise).mean()
            (gradient,) = torch.autograd.grad(loss, perturbation)
        return float(loss.detach()), gradient.flatten().double().numpy()

    start = np.zeros(noised.numel())
    best = minimize(objective, start, method="L-BFGS-B", jac=True, options={"maxiter": ITERATIONS}).x
    perturbation = torch.from_numpy(best).reshape(noised.shape).float()
    again = model.noised(noised + perturbation, noise, PERTURBED_AT)
    return [length(model.eps(again, PERTURBED_AT) - noise), length(perturbation)]


def features(model: Model) -> np.ndarray:
    """The 26 features, float64 [N, 26]."""
    scores = [model.once(mean_norm), secmi(model), pia(model, False), pia(model, True)]
    handmade = [*gradient_masking(model), *multiple_loss(model), *noise_optimization(model)]
    return to_scores(torch.stack([*scores, *handmade], dim=1))


def score(target: Model, shadows: Sequence[Shadow]) -> np.ndarray:
    """The predicted probability of membership."""
    rows = np.concatenate([s.model.once(features) for s in shadows])
    scaler = StandardScaler().fit(rows)
    regression = LogisticRegression(max_iter=1000).fit(
        scaler.transform(rows), np.concatenate([s.members for s in shadows])
    )
    odds: np.ndarray = regression.decision_function(scaler.transform(target.once(features)))
    return odds
