"""Membership by the discriminator of a generative adversarial network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from annotated_types import Ge

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.attacks.shadow_models.choice import best_score

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries


Which = Literal["latest", "averaged"]
WHICH: tuple[Which, ...] = ("latest", "averaged")


@dataclass(frozen=True)
class Judgement:
    """The logits of the model's discriminators: "latest" and "averaged", [N] each."""

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        return queries.discriminate()


@register("discriminator")
@dataclass(frozen=True)
class Discriminator(Attack):
    """The discriminator's logit of an image (LOGAN, Hayes et al. 2019, arXiv 1705.07663, the white-box attack).

    A discriminator that has seen an image often finds it more real than an unseen one. There are two: that after the
    last step, `which = "latest"`, and the moving average. With shadow models, the other one replaces it if its mean AUC
    on them is higher by more than `margin` standard errors. Each image is judged in a group of copies of itself.
    Access: the discriminator, which is often not published with a generator. Model calls per image: 2.
    """

    access = "discriminator"
    shadows = "choices"
    summary = "the discriminator's logit, of a generative adversarial network"
    needs_discriminator = True

    which: Which = "latest"
    margin: Annotated[float, Ge(0)] = 2.0

    @property
    def signal(self) -> Judgement:
        return Judgement()

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        def scores(model: Target) -> dict[Which, np.ndarray]:
            logits = model.signals[self.signal]
            return {which: logits[which].astype(np.float64) for which in WHICH}

        score, chosen, reason = best_score(target, shadows, scores, self.which, margin=self.margin)
        return Scores(score, choices={"discriminator": chosen, "chosen by": reason})
