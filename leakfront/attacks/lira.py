"""Likelihood ratio attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy.stats import norm

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.attacks.loss import NoiseErrors, log_errors
from leakfront.attacks.shadow_models.choice import best_on_shadows
from leakfront.errors import InputError

OUT, IN = 0, 1
SMALLEST_DEVIATION = 0.01
ENOUGH_SHADOWS = 8  # from here on fewer than 1 image in 100 is on one side of all of them


class Sides(NamedTuple):
    """Gaussians of the statistic under models trained without and with each image: mean and deviation [2, P].

    imputed: number of images that have no shadow on one side.
    """

    mean: np.ndarray
    deviation: np.ndarray
    imputed: int


@register("lira")
@dataclass(frozen=True)
class LiRA(Attack):
    """Likelihood ratio attack (Carlini et al. 2022, arXiv 2112.03570; for diffusion models Carlini et al. 2023, §5.2).

    The statistic s of an image is the log of its noise-prediction error (the diffusion paper: the error itself, `log`
    false), averaged over draws of the noise, and with `flips` over the image and its mirror image. For each image,
    Gaussians are fitted to the statistics of shadow models that were trained with the image (in) and without it (out).
    online: log N(s; in) - log N(s; out). offline: -log P[out <= s]; low errors speak for membership.
    Means are of each image; variances are pooled over the images of a side, and of each image only from
    `per_example_variance_from` shadows on. A deviation is at least 1% of the error, so that sides whose shadows agree
    exactly give finite scores. An image without shadows on a side gets its mean there from its other side, moved by the
    mean difference of the sides, and the variance of that difference over images is added. With `shrink`, each image's
    difference of the sides is shrunk towards that mean by its own uncertainty (empirical Bayes); this is no part of the
    source, and helps with few shadows and a weak leak, where differences of single images are mostly noise. With many
    shadows it changes little.
    Timestep, and flips or not: the best on the shadows, each scored with the others as its shadows.
    Access: loss. Model calls per image: draws x timesteps, twice that with flips; and that many for every shadow, which
    is a model to train. At few shadows it is far from its limit; it says nothing of what better statistics would find.
    """

    access = "loss"
    shadows = "fit"
    minimum_shadows = 2
    summary = "likelihood ratio of the error under shadow models with and without the image"

    form: Literal["online", "offline"] = "online"
    timesteps: tuple[int, ...] = (50, 100, 150, 200, 250, 300)
    draws: int = 4
    flips: bool = False
    log: bool = True
    shrink: bool = False
    per_example_variance_from: int = 64

    def __post_init__(self) -> None:
        if self.form not in ("online", "offline"):
            raise InputError(f'attacks.lira.form is {self.form!r}; it must be "online" or "offline"')
        if not self.timesteps or min(self.timesteps) < 0:
            raise InputError(f"attacks.lira.timesteps is {list(self.timesteps)}; it must hold timesteps from 0 on")
        if self.draws < 1:
            raise InputError(f"attacks.lira.draws is {self.draws}; it must be at least 1")

    def note(self, shadows: int) -> str:
        if shadows < self.minimum_shadows or shadows >= ENOUGH_SHADOWS:
            return super().note(shadows)
        return (
            f"with {shadows} shadow models, about 1 image in {2 ** (shadows - 1)} is on one side of all of them; "
            "its mean on the other side is moved from there"
        )

    def signals(self) -> list[NoiseErrors]:
        return [NoiseErrors(self.timesteps, self.draws, self.flips)]

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        seen, known = self._statistics(target), [self._statistics(s) for s in shadows]
        members = np.stack([s.members for s in shadows])
        per_example = len(shadows) >= self.per_example_variance_from

        def fitted(key: tuple[int, bool], rows: Sequence[int]) -> Sides:
            values = np.stack([known[i][key] for i in rows])
            smallest = SMALLEST_DEVIATION * (1.0 if self.log else float(np.abs(values).mean()))
            return fit_sides(values, members[list(rows)], per_example, self.shrink, smallest)

        def held_out(i: int) -> dict[tuple[int, bool], np.ndarray]:
            others = [j for j in range(len(shadows)) if j != i]
            return {key: self._evidence(known[i][key], fitted(key, others)) for key in seen}

        first = next(iter(seen))
        key, reason = first, "the only one given"
        if len(seen) > 1:
            key, reason = best_on_shadows([(held_out(i), members[i]) for i in range(len(shadows))], first)
            reason += ", each scored with the others"
        sides = fitted(key, range(len(shadows)))
        chosen = {"timestep": key[0], "flips": key[1], "chosen by": reason, "imputed": sides.imputed}
        return Scores(self._evidence(seen[key], sides), choices=chosen)

    def _statistics(self, model: Target) -> Mapping[tuple[int, bool], np.ndarray]:
        """[P] by (timestep, with flips or not); one model's measurements give both."""
        found = model.signals[self.signals()[0]]
        named = {True: found["errors"], False: found["unflipped"]} if self.flips else {False: found["errors"]}
        taken = {flips: log_errors(v) if self.log else v.astype(np.float64) for flips, v in named.items()}
        return {(t, flips): values[:, i] for flips, values in taken.items() for i, t in enumerate(self.timesteps)}

    def _evidence(self, statistic: np.ndarray, sides: Sides) -> np.ndarray:
        """How much the statistic [P] of one model speaks for membership, [P]."""
        mean, deviation = sides.mean, sides.deviation
        if self.form == "offline":
            evidence: np.ndarray = -norm.logcdf(statistic, mean[OUT], deviation[OUT])
        else:
            within = norm.logpdf(statistic, mean[IN], deviation[IN])
            evidence = within - norm.logpdf(statistic, mean[OUT], deviation[OUT])
        return evidence


def fit_sides(
    values: np.ndarray, members: np.ndarray, per_example_variance: bool, shrink: bool, smallest_deviation: float
) -> Sides:
    """Fit the Gaussians of both sides to the statistics [S, P] of S shadows with coins bool [S, P]; see `LiRA`."""
    side = np.stack([~members, members])
    count = side.sum(1)
    own = np.where(side, values, 0).sum(1) / np.maximum(count, 1)  # means [2, P]; 0 where there is no shadow
    squares = np.where(side, values - own[:, None], 0) ** 2
    variance = _variance(values, squares.sum(1), count, per_example_variance)
    variance = np.maximum(variance, smallest_deviation**2)

    both = (count > 0).all(0)
    difference = own[IN] - own[OUT]
    if both.any():
        common = difference[both].mean()
    else:  # one shadow: no image is on both sides
        common = (values[members].mean() if members.any() else 0) - (
            values[~members].mean() if not members.all() else 0
        )
    error = (variance / np.maximum(count, 1)).sum(0)  # of an image's difference
    spread = max(0.0, difference[both].var() - error[both].mean()) if both.any() else 0.0  # of the true differences
    weight = np.where(both, spread / (spread + error) if shrink else 1.0, 0.0)
    difference = common + weight * (difference - common)

    # all shadows of an image, those of the other side moved by the difference
    mean_in = (count[IN] * own[IN] + count[OUT] * (own[OUT] + difference)) / len(values)
    mean = np.stack([mean_in - difference, mean_in])
    variance = variance + np.where(count == 0, spread, 0.0)
    return Sides(mean, np.sqrt(variance), int((~both).sum()))


def _variance(values: np.ndarray, squares: np.ndarray, count: np.ndarray, per_example: bool) -> np.ndarray:
    """Variances [2, P] from the sums of squared deviations [2, P] of `count` [2, P] shadows from their means."""
    freedom = np.maximum(count - 1, 0)
    if freedom.sum() == 0:  # nothing was seen twice: a common scale, which does not change the order of the scores
        pooled = np.full(2, values.var())
    elif freedom.sum(1).min() == 0:
        pooled = np.full(2, squares.sum() / freedom.sum())
    else:
        pooled = squares.sum(1) / freedom.sum(1)
    variance = np.broadcast_to(pooled[:, None], count.shape)
    return np.where(freedom > 0, squares / np.maximum(freedom, 1), variance) if per_example else variance
