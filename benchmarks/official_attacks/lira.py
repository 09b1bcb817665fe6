"""Likelihood ratio attack (Carlini et al. 2022, arXiv 2112.03570; for diffusion models arXiv 2301.13188, §5.2).

Transcribed from tensorflow/privacy, research/mi_lira_2021/plot.py (`generate_ours`, `generate_ours_offline`): Gaussians
with the median of the shadow models' statistics as mean, and their standard deviation; the score is the log likelihood
ratio (online), or minus the log density under the models without the image (offline). With `fix_variance`, the paper's
advice below 64 shadow models and the default here, there is one standard deviation of all images and models; online,
the code takes that of the "in" models for both sides.
The statistic of a diffusion model is its loss at t = 100, by the paper's formula; the code for diffusion models is not
public. `online` and `offline` average 5 draws of the noise, as `loss` does; `strong` is online with 16 draws, each of
the image and of its mirror image.
The source balances its shadow models, so that every image has some on both sides. Independent coins do not: an image
without a model on one side takes its median from the other side, moved by the median difference between the sides.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import norm

from benchmarks.official_attacks.model import Model, Shadow, to_scores

TIMESTEP = 100
TINY = 1e-30  # the source's, added to every standard deviation


def losses(model: Model, draws: int, flips: bool) -> np.ndarray:
    """The mean squared error at t = 100 over draws of the noise (and over the mirror image), float64 [N]."""
    generator = model.generator()
    views = [model.images, model.images.flip(-1)] if flips else [model.images]

    def error(view: torch.Tensor) -> torch.Tensor:
        noise = model.noise(generator)
        return (model.eps(model.noised(view, noise, TIMESTEP), TIMESTEP) - noise).square().flatten(1).mean(1)

    return to_scores(torch.stack([error(view) for _ in range(draws) for view in views]).mean(0))


def plain(model: Model) -> np.ndarray:
    """The statistic of `online` and `offline`."""
    return losses(model, draws=5, flips=False)


def averaged(model: Model) -> np.ndarray:
    """The statistic of `strong`."""
    return losses(model, draws=16, flips=True)


class Sides(NamedTuple):
    """Medians [N] of the shadow models with and without each image, and their standard deviations (one, or [N])."""

    inside: np.ndarray
    outside: np.ndarray
    std_in: np.ndarray
    std_out: np.ndarray


def gaussians(statistic: Callable[[Model], np.ndarray], shadows: Sequence[Shadow], fix_variance: bool) -> Sides:
    """The Gaussians of both sides."""
    values, members = np.stack([s.model.once(statistic) for s in shadows]), np.stack([s.members for s in shadows])
    known, unknown = np.where(members, values, np.nan), np.where(members, np.nan, values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of images without a model on one side
        inside, outside = np.nanmedian(known, axis=0), np.nanmedian(unknown, axis=0)
        gap = np.nan_to_num(np.nanmedian(inside - outside))
        axis = None if fix_variance else 0
        std_in, std_out = (np.asarray(np.nanstd(side, axis=axis)) + TINY for side in (known, unknown))
    filled = np.where(np.isnan(inside), outside + gap, inside), np.where(np.isnan(outside), inside - gap, outside)
    return Sides(*filled, std_in, std_out)


def ratio(
    statistic: Callable[[Model], np.ndarray], target: Model, shadows: Sequence[Shadow], fix_variance: bool = True
) -> np.ndarray:
    """log N(s; in) - log N(s; out), [N]."""
    sides, seen = gaussians(statistic, shadows, fix_variance), target.once(statistic)
    std_out = sides.std_in if fix_variance else sides.std_out
    evidence = norm.logpdf(seen, sides.inside, sides.std_in) - norm.logpdf(seen, sides.outside, std_out)
    return np.asarray(evidence)


def online(target: Model, shadows: Sequence[Shadow]) -> np.ndarray:
    """The log likelihood ratio."""
    return ratio(plain, target, shadows)


def strong(target: Model, shadows: Sequence[Shadow]) -> np.ndarray:
    """The log likelihood ratio of the statistic averaged over more draws and mirror images."""
    return ratio(averaged, target, shadows)


def offline(target: Model, shadows: Sequence[Shadow], fix_variance: bool = True) -> np.ndarray:
    """Minus the log density under the models without the image: a loss far from theirs on either side is suspect."""
    sides = gaussians(plain, shadows, fix_variance)
    return np.asarray(-norm.logpdf(target.once(plain), sides.outside, sides.std_out))
