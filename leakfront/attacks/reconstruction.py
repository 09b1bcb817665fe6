"""How much what a caption brings out looks like the pair's own image."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Interval

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.attacks.prompts.generations import GenerationsByPrompt, representatives
from leakfront.attacks.shadow_models.fit import fitted_on, log_odds, random_state
from leakfront.errors import InputError

LOWEST = -2.0  # the score of pairs whose caption was not asked for, or less; a cosine lies in [-1, 1]
NARROWEST = 1e-6  # the least standard deviation of a Gaussian
HIDDEN, EPOCHS = 16, 200  # of the network


@register("reconstruction")
@dataclass(frozen=True)
class Reconstruction(Attack):
    """Reconstruction from the caption (Pang and Wang 2023, "Black-box Membership Inference Attacks against Fine-tuned
    Diffusion Models", arXiv 2312.08207).

    The caption of each pair, member or decoy, is asked for, and `compared` of the images are compared with the pair's
    own, by the cosine of their features, those of the run's extractor; the source takes the last hidden state of DeiT,
    3 images, and 30 sampler steps. In the `form` "mean" the score is the mean cosine, and nothing is fitted. The source
    fits three things on shadow models, which are forms of their own. "threshold": the mean cosine less the threshold
    that gives the highest mean of the rates of members above and decoys below it, so that a score from 0 on says
    member; it ranks as "mean" does. "gaussians": the log-likelihood ratio of two Gaussians, of the mean cosines of
    members and of decoys. "network": the log-odds by a network with 16 hidden units on the cosines.

    `samples_per_prompt` and `once` are those of `generate_by_prompt`: with equal values, the images are generated once
    for both attacks. Pairs whose caption is not asked for share one score, below all others.
    Access: samples. Model calls per caption: samples_per_prompt x sampler steps, twice that with guidance. It is the
    attack on a fine-tuned model of which only an interface is open.
    """

    access = "samples"
    needs_captions = True
    summary = "likeness of the pair's image to what its caption brings out"

    samples_per_prompt: Annotated[int, Interval(ge=1, le=100_000)] = 3
    compared: Annotated[int, Ge(1)] = 3
    once: Annotated[int, Ge(0)] = 0
    form: Literal["mean", "threshold", "gaussians", "network"] = "mean"

    def validate(self) -> None:
        if self.compared > self.samples_per_prompt:
            raise InputError(
                f"{self.where()}.compared is {self.compared}; it must be at most samples_per_prompt, "
                f"{self.samples_per_prompt}"
            )

    def shadows_needed(self) -> int:
        return 0 if self.form == "mean" else 1

    @property
    def shadow_use(self) -> str:
        return "none" if self.form == "mean" else "fit"

    def generations(self) -> Sequence[GenerationsByPrompt]:
        return [GenerationsByPrompt(self.samples_per_prompt, self.once)]

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        cosines, asked = self._cosines(target)
        choices: dict[str, Any] = {"pairs asked for": int(asked.sum())}
        if self.form == "mean":
            found = cosines.mean(1)
        else:
            known = [(*self._cosines(shadow), shadow.members) for shadow in shadows]
            seen = np.concatenate([cosines for cosines, _, _ in known])
            coins = np.concatenate([members[theirs] for _, theirs, members in known])
            order = np.lexsort((*seen.T, coins))  # that of the pool does not count
            found, more = self._fitted(seen[order], coins[order], cosines, random_state(target))
            choices |= more | {"chosen by": fitted_on(shadows)}
        score = np.full(len(asked), min(LOWEST, found.min(initial=0) - 1))
        score[asked] = found
        return Scores(score, choices=choices)

    def _cosines(self, model: Target) -> tuple[np.ndarray, np.ndarray]:
        """Of the A pairs that were asked for the cosines with their images, [A, m]; and which these are, bool [P]."""
        generated, pool = model.generated[self.generations()[0]], model.pool
        prompts, first = np.unique(generated["prompt"], return_index=True)
        rows = first[:, None] + np.arange(self.compared)  # the images of a prompt lie side by side
        features = _unit(model.extract(generated["images"][rows.ravel()])).reshape(*rows.shape, -1)
        asked_by = representatives(pool)
        asked = np.isin(asked_by, prompts)
        theirs = features[np.searchsorted(prompts, asked_by[asked])]
        cosines: np.ndarray = np.einsum("pd,pmd->pm", _unit(pool.features[asked]), theirs)
        return cosines, asked

    def _fitted(
        self, seen: np.ndarray, coins: np.ndarray, cosines: np.ndarray, seed: int
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The scores of cosines [A, m] by those of shadow models [S, m] with their coins, and what was fitted."""
        if self.form == "network":
            return _by_network(seen, coins, cosines, seed), {"classifier": "multilayer perceptron"}
        means, known = cosines.mean(1), seen.mean(1)
        if self.form == "threshold":
            threshold = best_threshold(known, coins)
            return means - threshold, {"threshold": threshold}
        return log_ratio(means, known[coins], known[~coins]), {"classifier": "Gaussians"}


def best_threshold(values: np.ndarray, members: np.ndarray) -> float:
    """The threshold with the highest mean of the shares of members from it on and decoys below it: a member's value."""
    candidates = np.unique(values[members])
    above = [(values[members] >= c).mean() + (values[~members] < c).mean() for c in candidates]
    return float(candidates[int(np.argmax(above))])


def log_ratio(values: np.ndarray, members: np.ndarray, decoys: np.ndarray) -> np.ndarray:
    """log p(value | member) - log p(value | decoy), [A], of Gaussians with the means and deviations of known values."""
    from scipy.stats import norm

    def likelihood(known: np.ndarray) -> np.ndarray:
        return np.asarray(norm.logpdf(values, known.mean(), max(float(known.std()), NARROWEST)))

    ratio: np.ndarray = likelihood(members) - likelihood(decoys)
    return ratio


def _by_network(seen: np.ndarray, coins: np.ndarray, cosines: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    network = make_pipeline(StandardScaler(), MLPClassifier((HIDDEN,), max_iter=EPOCHS, random_state=seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is fixed
        network.fit(seen, coins)
    return log_odds(network, cosines)


def _unit(features: np.ndarray) -> np.ndarray:
    """Rows [n, d] at length 1; a row of zeros stays one."""
    scaled: np.ndarray = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    return scaled
