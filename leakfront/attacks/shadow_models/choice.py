"""Choosing among variants of one score, always on shadow models and never on the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from scipy.stats import rankdata

from leakfront.attacks.contract import Scores, Shadow, Signal, Target

K = TypeVar("K")


def shadow_auc(score: np.ndarray, members: np.ndarray) -> float:
    """AUC of score [P] for members bool [P], where ties count half (the Mann-Whitney statistic)."""
    m = int(members.sum())
    n = len(members) - m
    return float((rankdata(score)[members].sum() - m * (m + 1) / 2) / (m * n))


def best_on_shadows(candidates: Sequence[tuple[Mapping[K, np.ndarray], np.ndarray]], default: K) -> tuple[K, str]:
    """The key whose scores have the highest AUC, averaged over shadow models, and the reason for `Scores.choices`.

    candidates: for each shadow model, the scores [P] under every key, and its coins bool [P]. A tie goes to the first
    key. Without shadow models the key is `default`.
    """
    if not candidates:
        return default, "the source's default (no shadow model)"
    keys = list(candidates[0][0])
    mean = [np.mean([shadow_auc(scores[key], members) for scores, members in candidates]) for key in keys]
    return keys[int(np.argmax(mean))], f"best mean AUC on {len(candidates)} shadow models"


def score_at_best_timestep(
    target: Target, shadows: Sequence[Shadow], signal: Signal, timesteps: Sequence[int], default: int
) -> Scores:
    """Scores that are minus "errors" [P, T] of the signal at one timestep.

    The timestep is the one that separates best on the shadow models; without them, the one nearest to `default`.
    """

    def by_timestep(model: Target) -> dict[int, np.ndarray]:
        errors = model.signals[signal]["errors"].astype(np.float64)
        return dict(zip(timesteps, -errors.T, strict=True))

    nearest = min(timesteps, key=lambda t: abs(t - default))
    timestep, reason = best_on_shadows([(by_timestep(s), s.members) for s in shadows], nearest)
    return Scores(by_timestep(target)[timestep], choices={"timestep": timestep, "chosen by": reason})
