"""How much what a caption brings out looks like the pair's own image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Interval

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.attacks.prompts.generations import GenerationsByPrompt, representatives
from leakfront.errors import InputError

LOWEST = -2.0  # the score of pairs whose caption was not asked for; a cosine lies in [-1, 1]


@register("reconstruction")
@dataclass(frozen=True)
class Reconstruction(Attack):
    """Reconstruction from the caption (Pang and Wang 2023, "Black-box Membership Inference Attacks against Fine-tuned
    Diffusion Models", arXiv 2312.08207).

    The caption of each pair, member or decoy, is asked for, and `compared` of the images are compared with the pair's
    own. The score is the mean cosine of their features, those of the run's extractor; the source takes the last hidden
    state of DeiT, 3 images, and 30 sampler steps. The source then fits a threshold, Gaussians or a network on shadow
    models; a ranking needs none of them.

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

    def validate(self) -> None:
        if self.compared > self.samples_per_prompt:
            raise InputError(
                f"{self.where()}.compared is {self.compared}; it must be at most samples_per_prompt, "
                f"{self.samples_per_prompt}"
            )

    def generations(self) -> Sequence[GenerationsByPrompt]:
        return [GenerationsByPrompt(self.samples_per_prompt, self.once)]

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        generated, pool = target.generated[self.generations()[0]], target.pool
        prompts, first = np.unique(generated["prompt"], return_index=True)
        rows = first[:, None] + np.arange(self.compared)  # the images of a prompt lie side by side
        features = _unit(target.extract(generated["images"][rows.ravel()])).reshape(*rows.shape, -1)
        asked_by = representatives(pool)
        score = np.full(len(pool.images), LOWEST)
        asked = np.isin(asked_by, prompts)
        theirs = features[np.searchsorted(prompts, asked_by[asked])]
        score[asked] = np.einsum("pd,pmd->pm", _unit(pool.features[asked]), theirs).mean(1)
        return Scores(score, choices={"pairs asked for": int(asked.sum())})


def _unit(features: np.ndarray) -> np.ndarray:
    """Rows [n, d] at length 1; a row of zeros stays one."""
    scaled: np.ndarray = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    return scaled
