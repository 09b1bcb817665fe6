"""Quantile regression attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leakfront.attacks import Attack, Outside, Scores, Shadow, Target, register
from leakfront.attacks.loss import NoiseErrors, log_errors
from leakfront.attacks.shadow_models.choice import best_on_shadows
from leakfront.errors import InputError
from leakfront.seeds import derive_seed

FEWEST_OUTSIDE = 2
LEAF = 20  # images
RESOLUTION = 0.01


@register("quantile")
@dataclass(frozen=True)
class Quantile(Attack):
    """Quantile regression (Tang et al. 2023, arXiv 2312.05140).

    The `alpha`-quantile of the log of the noise-prediction error of known non-members is regressed on the image; an
    image's score is the quantile that is predicted for it minus the log of its own error: how far its error is below
    what only a share `alpha` of non-members of its kind goes below. The regression is fitted on images from outside the
    pool: at most `components` principal components of their pixels, then gradient boosted trees with the quantile loss.
    The source fits a small neural network, or a bag of them, to the error of SecMI; one fit of trees stands for it here
    because there are hundreds of images to fit on, not tens of thousands. The timestep is the one that separates best
    on shadow models, which are treated in the same way; without shadows, `default_timestep`.
    Access: loss. Model calls per image: draws x timesteps, and as many for each image from outside. No shadow model is
    needed. It knows how hard an image is only as far as the pixels tell, and from few images it learns little of that;
    from fewer than 40, nothing, and it is the loss threshold. Scores rank images, but zero is no threshold for a share
    `alpha` of false positives: the trees hug the images they saw, and two to three times as many others lie below.
    """

    access = "loss"
    shadows = "choices"
    summary = "error below the quantile that is predicted for a non-member like it"

    alpha: float = 0.05
    timesteps: tuple[int, ...] = (50, 100, 150, 200, 250, 300)
    draws: int = 4
    default_timestep: int = 100
    components: int = 32

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise InputError(f"attacks.quantile.alpha is {self.alpha}; it must lie between 0 and 1")
        if self.components < 1:
            raise InputError(f"attacks.quantile.components is {self.components}; it must be at least 1")
        if not self.timesteps:
            raise InputError("attacks.quantile.timesteps is empty; it must hold at least one timestep")

    def signals(self) -> list[NoiseErrors]:
        return [NoiseErrors(self.timesteps, self.draws)]

    def outside_signals(self) -> list[NoiseErrors]:
        return self.signals()

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        nearest = min(self.timesteps, key=lambda t: abs(t - self.default_timestep))
        candidates = [({t: self._below(s, t) for t in self.timesteps}, s.members) for s in shadows]
        timestep, reason = best_on_shadows(candidates, nearest)
        choices = {"timestep": timestep, "chosen by": reason, "images outside": len(target.outside.images)}
        return Scores(self._below(target, timestep), choices=choices)

    def _below(self, model: Target, timestep: int) -> np.ndarray:
        """Predicted quantile minus log error at one timestep, [P]."""
        outside = model.outside
        if len(outside.images) < FEWEST_OUTSIDE:
            raise InputError(
                f"attacks.quantile needs images from outside the pool to fit on: there are {len(outside.images)}; "
                f"probe.outside, and what lies outside the pool, must be at least {FEWEST_OUTSIDE}"
            )
        signal, column = self.signals()[0], self.timesteps.index(timestep)
        expected = self._predicted(outside, log_errors(outside.signals[signal]["errors"][:, column]), model)
        below: np.ndarray = expected - log_errors(model.signals[signal]["errors"][:, column])
        return below

    def _predicted(self, outside: Outside, errors: np.ndarray, model: Target) -> np.ndarray:
        """The quantile of the log error for each pool image, [P], learned from that [N] of the images outside."""
        from sklearn.decomposition import PCA
        from sklearn.ensemble import HistGradientBoostingRegressor
        from sklearn.pipeline import make_pipeline

        order = np.array(sorted(range(len(outside.images)), key=lambda i: outside.images[i].tobytes()))
        pixels = _pixels(outside.images[order])
        # trees branch on which values are equal: rounded, the last digits of a float32 cannot change the branches
        errors = RESOLUTION * np.round(errors[order] / RESOLUTION)
        regression = make_pipeline(
            PCA(min(self.components, len(pixels) - 1, pixels.shape[1]), svd_solver="full"),
            HistGradientBoostingRegressor(
                loss="quantile", quantile=self.alpha, max_iter=120, min_samples_leaf=LEAF, early_stopping=False,
                random_state=derive_seed(model.seed, "quantile regression") % 2**32,
            ),
        )  # fmt: skip
        predicted: np.ndarray = regression.fit(pixels, errors).predict(_pixels(model.pool.images))
        return predicted


def _pixels(images: np.ndarray) -> np.ndarray:
    """float64 [N, C * H * W] in [0, 1]."""
    pixels: np.ndarray = images.reshape(len(images), -1) / 255
    return pixels
