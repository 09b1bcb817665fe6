"""Choosing among variants of one score, always on shadow models and never on the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from scipy.stats import rankdata

from leakfront.attacks.contract import Scores, Shadow, Signal, Target
from leakfront.attacks.shadow_models.calibration import calibrated, in_calibrated_form

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


def best_score(
    target: Target,
    shadows: Sequence[Shadow],
    scores_of: Callable[[Target], Mapping[K, np.ndarray]],
    default: K,
    calibrate: bool = False,
) -> tuple[np.ndarray, K, str]:
    """The target's scores [P] under the key that separates best on the shadow models, the key, and the reason.

    scores_of: a model's scores [P] under every key. default: the key without shadow models. calibrate: compare scores
    with those that the images would have as non-members, see `calibration`; each shadow model is then scored with the
    others, or raw if it is the only one.
    """
    known = [scores_of(shadow) for shadow in shadows]
    members = np.stack([shadow.members for shadow in shadows]) if shadows else np.zeros((0, 0), bool)

    def compared(values: np.ndarray, key: K, others: Sequence[int]) -> np.ndarray:
        if not calibrate or not others:
            return values
        return calibrated(values, [known[i][key] for i in others], members[list(others)])

    candidates = [
        ({key: compared(values, key, [j for j in range(len(shadows)) if j != i]) for key, values in own.items()}, coins)
        for i, (own, coins) in enumerate(zip(known, members, strict=True))
    ]
    key, reason = best_on_shadows(candidates, default)
    if calibrate:
        reason += "; " + _calibrated_on(shadows)
    return compared(scores_of(target)[key], key, range(len(shadows))), key, reason


def source_default(attack: Any, shadows: Sequence[Shadow]) -> str:
    """The reason for `Scores.choices` of an attack with the parameter `calibrated` that chooses nothing."""
    return "the source's default" + (f"; {_calibrated_on(shadows)}" if attack.calibrated else "")


def _calibrated_on(shadows: Sequence[Shadow]) -> str:
    return f"calibrated on {len(shadows)} shadow model{'' if len(shadows) == 1 else 's'}"


def score_at_best_timestep(
    target: Target,
    shadows: Sequence[Shadow],
    signal: Signal,
    timesteps: Sequence[int],
    default: int,
    calibrate: bool = False,
) -> Scores:
    """Scores that are minus "errors" [P, T] of the signal at one timestep; see `best_score`.

    To be calibrated, the errors are taken as logarithms; see `in_calibrated_form`.
    The timestep is the one that separates best on the shadow models; without them, the one nearest to `default`.
    """

    def by_timestep(model: Target) -> dict[int, np.ndarray]:
        errors = in_calibrated_form(model.signals[signal]["errors"], calibrate)
        return dict(zip(timesteps, -errors.T, strict=True))

    nearest = min(timesteps, key=lambda t: abs(t - default))
    score, timestep, reason = best_score(target, shadows, by_timestep, nearest, calibrate)
    return Scores(score, choices={"timestep": timestep, "chosen by": reason})
