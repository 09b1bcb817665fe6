"""Choosing among variants of one score, always on shadow models and never on the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from scipy.stats import rankdata

from leakfront.attacks.contract import Scores, Shadow, Signal, Target
from leakfront.attacks.shadow_models.calibration import calibrated, in_calibrated_form

K = TypeVar("K")


def shadow_auc(score: np.ndarray, members: np.ndarray) -> float:
    """AUC of score [P] for members bool [P], where ties count half (the Mann-Whitney statistic)."""
    return float(np.mean(_placements(score, members)[0]))


def _placements(score: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each member the share of decoys below it, and for each decoy the share of members above it; ties count half.

    The mean of either is the AUC.
    """
    inside, outside = score[members], score[~members]
    ranks = rankdata(score)
    below = (ranks[members] - rankdata(inside)) / len(outside)
    above = 1 - (ranks[~members] - rankdata(outside)) / len(inside)
    return below, above


def best_on_shadows(
    candidates: Sequence[tuple[Mapping[K, np.ndarray], np.ndarray]], default: K, margin: float = 0.0
) -> tuple[K, str]:
    """The key whose scores have the highest AUC, averaged over shadow models, and the reason for `Scores.choices`.

    candidates: for each shadow model, the scores [P] under every key, and its coins bool [P]. A tie goes to the first
    key. Without shadow models the key is `default`. With `margin`, another key is taken only if its mean AUC exceeds
    that of the default by more than so many standard errors of the difference; so a few shadow models do not move the
    choice by chance. The standard error is that of two AUCs on the same images (DeLong et al. 1988), averaged over
    the shadow models as if they were independent.
    """
    if not candidates:
        return default, "the source's default (no shadow model)"
    keys = list(candidates[0][0])
    placed = [{key: _placements(scores[key], members) for key in keys} for scores, members in candidates]
    mean = {key: float(np.mean([np.mean(of[key][0]) for of in placed])) for key in keys}
    on = f"on {len(candidates)} shadow model{'' if len(candidates) == 1 else 's'}"
    if margin == 0:
        return max(keys, key=lambda key: mean[key]), f"best mean AUC {on}"

    def exceeds(key: K) -> bool:
        variance = sum(_variance_of_difference(of[key], of[default]) for of in placed) / len(placed) ** 2
        return bool(mean[key] - mean[default] > margin * variance**0.5)

    better = [key for key in keys if key != default and exceeds(key)]
    if not better:
        return default, f"the source's default; no other is better by {margin:g} standard errors {on}"
    return max(better, key=lambda key: mean[key]), f"best mean AUC {on}, by more than {margin:g} standard errors"


def _variance_of_difference(first: tuple[np.ndarray, ...], second: tuple[np.ndarray, ...]) -> float:
    """The variance of the difference of two AUCs on the same images, from their placements (DeLong et al. 1988)."""
    return float(sum(np.var(a - b, ddof=1) / len(a) for a, b in zip(first, second, strict=True)))


def best_score(
    target: Target,
    shadows: Sequence[Shadow],
    scores_of: Callable[[Target], Mapping[K, np.ndarray]],
    default: K,
    calibrate: bool = False,
    margin: float = 0.0,
) -> tuple[np.ndarray, K, str]:
    """The target's scores [P] under the key that separates best on the shadow models, the key, and the reason.

    scores_of: a model's scores [P] under every key. default, margin: as in `best_on_shadows`. calibrate: compare scores
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
    key, reason = best_on_shadows(candidates, default, margin)
    if calibrate:
        reason += "; " + _calibrated_on(shadows)
    return compared(scores_of(target)[key], key, range(len(shadows))), key, reason


def source_default(attack: Any, shadows: Sequence[Shadow]) -> str:
    """The reason for `Scores.choices` of an attack with the parameter `calibrated` that chooses nothing."""
    return "the source's default" + (f"; {_calibrated_on(shadows)}" if attack.calibrated else "")


def _calibrated_on(shadows: Sequence[Shadow]) -> str:
    return f"calibrated on {len(shadows)} shadow model{'' if len(shadows) == 1 else 's'}"


class AtOneTimestep(Protocol):
    """The settings of an attack whose score is minus an error at one timestep."""

    @property
    def timesteps(self) -> tuple[int, ...]: ...
    @property
    def default_timestep(self) -> int: ...
    @property
    def signed(self) -> bool: ...
    @property
    def margin(self) -> float: ...
    @property
    def calibrated(self) -> bool: ...
    @property
    def signal(self) -> Signal: ...


def score_at_best_timestep(attack: AtOneTimestep, target: Target, shadows: Sequence[Shadow]) -> Scores:
    """Scores that are minus the "errors" [P, T] of the attack's signal at one timestep; see `best_score`.

    To be calibrated, the errors are taken as logarithms; see `in_calibrated_form`. The timestep is chosen on the shadow
    models, from the one nearest to `default_timestep`, which is taken without them. So is the sign, if `signed`.
    """

    def scores(model: Target) -> dict[tuple[int, int], np.ndarray]:
        errors = in_calibrated_form(model.signals[attack.signal]["errors"], attack.calibrated)
        signs = (-1, 1) if attack.signed else (-1,)
        return {(t, sign): sign * errors[:, i] for i, t in enumerate(attack.timesteps) for sign in signs}

    nearest = min(attack.timesteps, key=lambda t: abs(t - attack.default_timestep))
    score, chosen, reason = best_score(target, shadows, scores, (nearest, -1), attack.calibrated, attack.margin)
    members = "smaller" if chosen[1] < 0 else "larger"
    choices = {"timestep": chosen[0], "errors of members": members, "chosen by": reason}
    return Scores(score, choices=choices)


class OfTimesteps(Protocol):
    """The settings of an attack whose score is a value at one timestep."""

    @property
    def timesteps(self) -> tuple[int, ...]: ...
    @property
    def default_timestep(self) -> int: ...
    @property
    def margin(self) -> float: ...
    @property
    def signal(self) -> Signal: ...


def highest_at_best_timestep(attack: OfTimesteps, target: Target, shadows: Sequence[Shadow]) -> Scores:
    """Scores that are the "values" [P, T] of the attack's signal at one timestep, chosen as in `best_score`.

    The default is the timestep nearest to `default_timestep`.
    """

    def scores(model: Target) -> dict[int, np.ndarray]:
        values = model.signals[attack.signal]["values"].astype(np.float64)
        return {t: values[:, i] for i, t in enumerate(attack.timesteps)}

    nearest = min(attack.timesteps, key=lambda t: abs(t - attack.default_timestep))
    score, t, reason = best_score(target, shadows, scores, nearest, margin=attack.margin)
    return Scores(score, choices={"timestep": t, "chosen by": reason})
