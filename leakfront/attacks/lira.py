"""Likelihood ratio attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np
from annotated_types import Ge
from scipy.stats import chi2, median_abs_deviation, norm

from leakfront.attacks import Attack, Scores, Shadow, Target, Timesteps, register
from leakfront.attacks.loss import NoiseErrors, log_errors
from leakfront.attacks.shadow_models.choice import best_on_shadows

# an image's difference between the sides: its own, that of all images, or between both by its uncertainty
Weighing = Literal["own", "common", "shrunk"]

OUT, IN = 0, 1
SMALLEST_DEVIATION = 0.01
ENOUGH_SHADOWS = 8  # with so many, fewer than 1 image in 100 is in all of them or in none


class Sides(NamedTuple):
    """Gaussians of the statistic under models trained without (row 0) and with (row 1) each image: mean and standard
    deviation, [2, P].

    imputed: the number of images that have no shadow model on one side.
    """

    mean: np.ndarray
    deviation: np.ndarray
    imputed: int


@register("lira")
@dataclass(frozen=True)
class LiRA(Attack):
    """Likelihood ratio attack (Carlini et al. 2022, arXiv 2112.03570; for diffusion models Carlini et al. 2023, §5.2).

    The statistic s of an image is the log of its noise-prediction error, averaged over draws of the noise and, with
    `flips`, over the image and its mirror image. (The diffusion paper takes the error itself: `log` false.) For each
    image, one Gaussian is fitted to the statistics of the shadow models trained with the image (in), and one to those
    trained without it (out). The score is log N(s; in) - log N(s; out) in the online form, and -log P[out <= s] in the
    offline form: low errors speak for membership.
    In the form "difference" it is the statistic that the image would have as no member, minus s: the mean over the
    shadow models, those that trained on the image corrected by the common difference between the sides. It has one
    unknown number and no variances.
    Means are per image. Variances are pooled over the images of a side; with at least `per_example_variance_from`
    shadow models they are per image. A standard deviation is at least 1% of the error, so scores stay finite where the
    shadow models of a side agree exactly. An image without shadow models on one side gets its mean there from the
    other side: it is moved by the mean difference between the sides, and the variance of this difference over images
    is added. With `robust`, what is taken over images (the pooled variance of a side, the common difference, and its
    variance) comes from medians: a few images that were trained on many times differ several times as much as the
    others, and would decide means and variances. Without it, means and variances are taken.
    With `shrink`, each image's difference between the sides is shrunk towards the common one according to its
    uncertainty (empirical Bayes). The source does not do this. It helps with few shadow models and a weak leak, where
    the differences of single images are mostly noise; with many shadow models it changes little.
    The timestep, and whether flips are used, are those that separate best on the shadow models, where each shadow
    model is scored with the others as its shadow models.
    Access: loss. Model calls per image: draws x timesteps, twice that with flips; and the same for every shadow model,
    which must also be trained. With few shadow models it is far from its limit, and better statistics may find more.
    """

    access = "loss"
    shadows = "fit"
    minimum_shadows = 2
    summary = "likelihood ratio of the error under shadow models with and without the image"

    form: Literal["online", "offline", "difference"] = "online"
    timesteps: Timesteps = (50, 100, 150, 200, 250, 300)
    draws: Annotated[int, Ge(1)] = 4
    flips: bool = False
    log: bool = True
    shrink: bool = False
    robust: bool = True
    per_example_variance_from: Annotated[int, Ge(0)] = 64

    def note(self, shadows: int) -> str:
        if shadows < self.shadows_needed() or shadows >= ENOUGH_SHADOWS:
            return super().note(shadows)
        return (
            f"with {shadows} shadow models, about 1 image in {2 ** (shadows - 1)} is in all of them or in none; "
            "its missing mean is inferred from the other side"
        )

    @property
    def signal(self) -> NoiseErrors:
        return NoiseErrors(self.timesteps, self.draws, self.flips)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        seen, known = self._statistics(target), [self._statistics(s) for s in shadows]
        members = np.stack([s.members for s in shadows])
        per_example = len(shadows) >= self.per_example_variance_from

        def fitted(key: tuple[int, bool], rows: Sequence[int]) -> Sides:
            values = np.stack([known[i][key] for i in rows])
            smallest = SMALLEST_DEVIATION * (1.0 if self.log else float(np.abs(values).mean()))
            weighing: Weighing = "common" if self.form == "difference" else "shrunk" if self.shrink else "own"
            return fit_sides(values, members[list(rows)], per_example, weighing, smallest, self.robust)

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
        """The statistics [P] of one model, by (timestep, with flips or not)."""
        found = model.signals[self.signal]
        named = {True: found["errors"], False: found["unflipped"]} if self.flips else {False: found["errors"]}
        taken = {flips: log_errors(v) if self.log else v.astype(np.float64) for flips, v in named.items()}
        return {(t, flips): values[:, i] for flips, values in taken.items() for i, t in enumerate(self.timesteps)}

    def _evidence(self, statistic: np.ndarray, sides: Sides) -> np.ndarray:
        """How strongly the statistics [P] of one model speak for membership, [P]."""
        mean, deviation = sides.mean, sides.deviation
        if self.form == "difference":
            return np.asarray(mean[OUT] - statistic)
        if self.form == "offline":
            evidence: np.ndarray = -norm.logcdf(statistic, mean[OUT], deviation[OUT])
        else:
            within = norm.logpdf(statistic, mean[IN], deviation[IN])
            evidence = within - norm.logpdf(statistic, mean[OUT], deviation[OUT])
        return evidence


def fit_sides(
    values: np.ndarray,
    members: np.ndarray,
    per_example_variance: bool,
    weighing: Weighing,
    smallest_deviation: float,
    robust: bool,
) -> Sides:
    """Fit the Gaussians of both sides to the statistics [S, P] of S shadows with coins bool [S, P]; see `LiRA`."""
    side = np.stack([~members, members])
    count = side.sum(1)
    own = np.where(side, values, 0).sum(1) / np.maximum(count, 1)  # means [2, P]; 0 without a shadow model
    squares = np.where(side, values - own[:, None], 0) ** 2
    variance = _variance(values, squares.sum(1), count, per_example_variance, robust)
    variance = np.maximum(variance, smallest_deviation**2)

    centre = np.median if robust else np.mean
    both = (count > 0).all(0)
    difference = own[IN] - own[OUT]
    if both.any():
        common = centre(difference[both])
    else:  # one shadow: no image is on both sides
        common = (centre(values[members]) if members.any() else 0) - (
            centre(values[~members]) if not members.all() else 0
        )
    error = (variance / np.maximum(count, 1)).sum(0)  # the variance of an image's measured difference
    spread = 0.0  # the variance of the true differences
    if both.any():
        measured = _mad_variance(difference[both]) if robust else difference[both].var()
        spread = max(0.0, float(measured - centre(error[both])))
    share = spread / (spread + error) if weighing == "shrunk" else float(weighing == "own")
    difference = common + np.where(both, share, 0.0) * (difference - common)

    # the mean over all shadow models of an image, those of the other side moved by the difference
    mean_in = (count[IN] * own[IN] + count[OUT] * (own[OUT] + difference)) / len(values)
    mean = np.stack([mean_in - difference, mean_in])
    variance = variance + np.where(count == 0, spread, 0.0)
    return Sides(mean, np.sqrt(variance), int((~both).sum()))


def _mad_variance(values: np.ndarray) -> float:
    """The variance of Gaussian values by their median absolute deviation."""
    return float(median_abs_deviation(values, scale="normal") ** 2)


def _variance(
    values: np.ndarray, squares: np.ndarray, count: np.ndarray, per_example: bool, robust: bool
) -> np.ndarray:
    """Variances [2, P] from the sums of squared deviations [2, P] of `count` [2, P] shadows from their means.

    With `robust`, the pooled variance is the one under which half of the images have a smaller sum of squares: for n
    shadow models the sum is the variance times a chi-square variable with n - 1 degrees of freedom.
    """
    freedom = np.maximum(count - 1, 0)

    def pooled(rows: slice) -> float:
        some = freedom[rows] > 0
        if not robust:
            return float(squares[rows].sum() / freedom[rows].sum())
        return float(np.median(squares[rows][some] / chi2.median(freedom[rows][some])))

    if freedom.sum() == 0:  # no side has two shadow models: a common scale, which leaves the order of the scores
        found = [_mad_variance(values.ravel()) if robust else float(values.var())] * 2
    elif freedom.sum(1).min() == 0:
        found = [pooled(slice(None))] * 2
    else:
        found = [pooled(slice(OUT, OUT + 1)), pooled(slice(IN, IN + 1))]
    variance = np.broadcast_to(np.array(found)[:, None], count.shape)
    return np.where(freedom > 0, squares / np.maximum(freedom, 1), variance) if per_example else variance
