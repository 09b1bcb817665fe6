"""Quantile regression attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Lt

from leakfront.attacks import Attack, Outside, Scores, Shadow, Target, Timesteps, register
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

    On known non-members, the attack regresses the `alpha`-quantile of the log of the noise-prediction error on the
    image. An image's score is the quantile predicted for it minus the log of its own error. A positive score means that
    the error is lower than for all but a share `alpha` of similar non-members. The regression is fitted on images from
    outside the pool: at most `components` principal components of their pixels, then gradient boosted trees with the
    quantile loss. The source fits a small neural network, or a bag of them, to the error of SecMI. Here it is one fit
    of trees, because there are hundreds of images to fit on and not tens of thousands. The timestep is the one that
    separates best on shadow models, which are scored in the same way; without them it is `default_timestep`.
    Access: loss. Model calls per image: draws x timesteps, and as many for each image from outside. It needs no shadow
    model. It knows how hard an image is only as far as the pixels tell, and it learns little of that from few images.
    From fewer than 40 images it learns nothing, and equals the loss threshold. Scores rank images, but a threshold of
    zero does not give a share `alpha` of false positives: the trees fit the images they saw too closely, and two to
    three times as many other images score above zero.
    """

    access = "loss"
    shadows = "choices"
    summary = "how far the error is below the quantile predicted for a similar non-member"

    alpha: Annotated[float, Gt(0), Lt(1)] = 0.05
    timesteps: Timesteps = (50, 100, 150, 200, 250, 300)
    draws: Annotated[int, Ge(1)] = 4
    default_timestep: Annotated[int, Ge(0)] = 100
    components: Annotated[int, Ge(1)] = 32

    @property
    def signal(self) -> NoiseErrors:
        return NoiseErrors(self.timesteps, self.draws)

    def outside_signals(self) -> list[NoiseErrors]:
        return [self.signal]

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
                f"{self.where()} fits on images from outside the pool, and there are {len(outside.images)}; "
                f"probe.outside and the number of images outside the pool must be at least {FEWEST_OUTSIDE}"
            )
        column = self.timesteps.index(timestep)
        expected = self._predicted(outside, log_errors(outside.signals[self.signal]["errors"][:, column]), model)
        below: np.ndarray = expected - log_errors(model.signals[self.signal]["errors"][:, column])
        return below

    def _predicted(self, outside: Outside, errors: np.ndarray, model: Target) -> np.ndarray:
        """The predicted quantile of the log error of each pool image, [P].

        errors: the log errors [N] of the images outside, which the regression is fitted on.
        """
        from sklearn.decomposition import PCA
        from sklearn.ensemble import HistGradientBoostingRegressor
        from sklearn.pipeline import make_pipeline

        order = np.array(sorted(range(len(outside.images)), key=lambda i: outside.images[i].tobytes()))
        pixels = _pixels(outside.images[order])
        # trees branch on which values are equal; rounding makes them ignore the last digits of a float32
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
