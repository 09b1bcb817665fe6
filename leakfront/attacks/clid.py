"""Conditional likelihood discrepancy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from annotated_types import Ge

from leakfront.attacks import Attack, Scores, Shadow, Target, Timesteps, register
from leakfront.attacks.queries.given import Null, Third
from leakfront.attacks.shadow_models.choice import best_score
from leakfront.attacks.shadow_models.fit import fit_and_score, fitted_on, random_state

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.given import Given
    from leakfront.attacks.queries.queries import Queries

NEIGHBOURS = (-1, 0, 1)  # of a timestep, in units of the spacing; each with a draw of the noise of its own
WEIGHTS = tuple(i / 10 for i in range(11))
DEFAULT_WEIGHT = 0.5


@dataclass(frozen=True)
class CaptionErrors:
    """||eps_theta(x_t, t, c) - eps||^2, the mean over values, and over t - spacing, t and t + spacing at each t.

    "own" [N, T]: for the image's own caption. "reduced" [N, T, R]: for the first, middle and last third of its words,
    and the empty caption if the model knows one; R is 3 or 4. All have the same noise.
    """

    timesteps: tuple[int, ...]
    spacing: int

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        def errors(t: int, given: Given | None) -> torch.Tensor:
            near = [min(max(t + i * self.spacing, 0), queries.timesteps - 1) for i in NEIGHBOURS]
            return torch.stack([queries.loss(draw, at, given=given) for draw, at in enumerate(near)]).mean(0)

        reduced: list[Given] = [*map(Third, range(3)), *([Null()] if queries.has_null else [])]
        rows = [torch.stack([errors(t, given) for given in reduced], dim=1) for t in self.timesteps]
        own = [errors(t, None) for t in self.timesteps]
        return {"own": torch.stack(own, dim=1), "reduced": torch.stack(rows, dim=1)}


@register("clid")
@dataclass(frozen=True)
class CLiD(Attack):
    """Conditional likelihood discrepancy (CLiD; Zhai et al. 2024, arXiv 2405.14800).

    A model overfits to pairs more than to images: a member's own caption lowers the error by more than a caption of
    parts does. With E(c) = ||eps_theta(x_t, t, c) - eps||^2, D is the mean of E(reduced caption) - E(own caption) over
    the three thirds of the caption's words and the empty caption, and L = -E(own caption). In the form "sum" the score
    is a S(D) + (1 - a) S(L), with S(v) = (v - median) / (interquartile range) over the pool. In the form "trees",
    boosted trees fitted on shadow models judge all the differences and L, at all timesteps. Each timestep t stands for
    t - spacing, t and t + spacing, each with noise of its own; all captions share it. In the form "sum", with shadow
    models, another pair of t and a (0, 0.1, … 1) replaces `default_timestep` and 0.5 if its mean AUC on them is higher
    by more than `margin` standard errors.

    It differs from the authors' code (zhaisf/CLiD) so. They take thirds of the characters, or words in the order of
    their importance, which needs a tool for attribution (AUC 96.1, against 95.9 with thirds); ask at t = 485, 495 and
    505 alone; scale the target as a shadow model's pairs are spread; and take the weight that is best on it without a
    margin. Their trees have the five numbers of these timesteps. Without an empty caption the model is asked with the
    thirds alone.
    Access: loss. Model calls per image: 15 x timesteps (60), without an empty caption 12 x timesteps. An image that was
    seen very often is known without its caption too, and D is then small: never judge it on planted copies alone.
    """

    access = "loss"
    needs_captions = True
    shadows = "choices"
    summary = "how much an image's own caption lowers the error, compared with parts of the caption"

    form: Literal["sum", "trees"] = "sum"
    timesteps: Timesteps = (100, 200, 300, 450)
    spacing: Annotated[int, Ge(0)] = 10
    default_timestep: Annotated[int, Ge(0)] = 450
    margin: Annotated[float, Ge(0)] = 2.0

    def shadows_needed(self) -> int:
        return 1 if self.form == "trees" else 0

    @property
    def shadow_use(self) -> str:
        return "fit" if self.form == "trees" else "choices"

    @property
    def signal(self) -> CaptionErrors:
        return CaptionErrors(self.timesteps, self.spacing)

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        if self.form == "trees":
            return self._judged_by_trees(target, shadows)

        def scores(model: Target) -> dict[tuple[int, float], np.ndarray]:
            gains, errors = self._measured(model)
            found: dict[tuple[int, float], np.ndarray] = {}
            for i, t in enumerate(self.timesteps):
                gain, likelihood = scaled(gains[:, i].mean(1)), scaled(-errors[:, i])
                found |= {(t, a): a * gain + (1 - a) * likelihood for a in WEIGHTS}
            return found

        nearest = min(self.timesteps, key=lambda t: abs(t - self.default_timestep))
        score, chosen, reason = best_score(target, shadows, scores, (nearest, DEFAULT_WEIGHT), margin=self.margin)
        return Scores(score, choices={"timestep": chosen[0], "weight": chosen[1], "chosen by": reason})

    def _judged_by_trees(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        from sklearn.ensemble import HistGradientBoostingClassifier

        def features(model: Target) -> np.ndarray:
            gains, errors = self._measured(model)
            return np.concatenate([gains, -errors[..., None]], axis=2)

        trees = HistGradientBoostingClassifier(early_stopping=False, random_state=random_state(target))
        score = fit_and_score(trees, features, target, shadows, logs=False)
        return Scores(score, choices={"classifier": "boosted trees", "chosen by": fitted_on(shadows)})

    def _measured(self, model: Target) -> tuple[np.ndarray, np.ndarray]:
        """E(reduced) - E(own) [P, T, R], and E(own) [P, T]."""
        found = model.signals[self.signal]
        own = found["own"].astype(np.float64)
        return found["reduced"].astype(np.float64) - own[..., None], own


def scaled(values: np.ndarray) -> np.ndarray:
    """(v - median) / (interquartile range) of values [P]; the differences alone if that range is 0."""
    low, centre, high = np.quantile(values, [0.25, 0.5, 0.75])
    return np.asarray((values - centre) / ((high - low) or 1.0))
