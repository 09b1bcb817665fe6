"""Captions that change while a model is trained on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from leakfront.defenses import Defense, TrainingSetup, register
from leakfront.defenses.captions.embeddings import mixed, with_changed_embeddings, with_noise
from leakfront.defenses.captions.tokens import MAX_WORDS, content, random_words, spelled, with_words
from leakfront.errors import InputError

if TYPE_CHECKING:
    import torch

    from leakfront.models.contract import Words


PROBABILITY, STRENGTH = 0.4, 0.1
ON_EMBEDDINGS = ("gauss", "mixup")


@register("caption_noise")
@dataclass(frozen=True)
class CaptionNoise(Defense):
    """Train on changed captions (Somepalli et al. 2023, "Understanding and Mitigating Copying in Diffusion Models",
    arXiv 2305.20086; forms and numbers from its code).

    At each step, the caption of each image of the batch is changed with `probability`:

    * "replace": all of it becomes `replaced` random words.
    * "add": `added` random words are put in at random places.
    * "repeat": `added` of its own tokens are put in again at random places.
    * "shuffle": it becomes the caption of another image of the batch. This is our own control, and what hurts CLiD most
      (Zhai et al. 2024, arXiv 2405.14800).

    Two more forms change what the text encoder makes of *all* captions of a batch, by `strength`, the source's lambda:

    * "gauss": + strength N(0, I).
    * "mixup": l times itself and 1 - l times that of another pair, with one l ~ Beta(strength, 1) for the batch. A
      small strength gives small l, so that most batches have nearly the captions of others.

    The pair is then seen with many captions, so that its own caption leads less surely to its image. A caption that is
    full loses its last tokens to words put in. It costs how well images follow their captions. No guarantee: the images
    are shown as often as before, and an attack that needs no caption finds them as before.
    """

    acts_on = "batches"
    covers = "samples, loss, gradients"
    summary = "change the captions of training images at each step"
    needs_captions = True

    form: Literal["replace", "add", "repeat", "shuffle", "gauss", "mixup"] = "replace"
    probability: Annotated[float, Interval(ge=0, le=1)] = PROBABILITY
    replaced: Annotated[int, Interval(ge=1, le=MAX_WORDS)] = 4
    added: Annotated[int, Interval(ge=1, le=MAX_WORDS)] = 2

    strength: Annotated[float, Interval(ge=1e-3, le=1e3)] = STRENGTH

    def validate(self) -> None:
        changed = self.form in ON_EMBEDDINGS
        name, value, usual = ("probability", self.probability, PROBABILITY) if changed else (
            "strength", self.strength, STRENGTH
        )  # fmt: skip
        if value != usual:
            raise InputError(
                f"caption_noise.{name} is {value:g}; it has no effect with form = {self.form!r}, so leave it out"
            )

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        setup.mixes_images |= self.form in ("shuffle", "mixup")
        if self.form in ON_EMBEDDINGS:
            if not hasattr(setup.network, "embed"):
                raise InputError("caption_noise changes captions, but this model is not conditioned on any")
            setup.loss = with_changed_embeddings(setup.loss, self._changed_embedding)
        return setup

    def _changed_embedding(self, embedding: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        change = with_noise if self.form == "gauss" else mixed
        return change(embedding, self.strength, generator)

    def recondition(self, condition: torch.Tensor, words: Words | None, generator: torch.Generator) -> torch.Tensor:
        import torch

        if words is None:
            raise InputError("caption_noise changes captions, but this model is not conditioned on any")
        if self.form in ON_EMBEDDINGS:
            return condition
        chosen = (torch.rand(len(condition), generator=generator) < self.probability).nonzero().flatten().tolist()
        before = condition.cpu()
        changed = before.clone()
        for index in chosen:
            changed[index] = self._changed(before, index, words, generator)
        return changed.to(condition.device)

    def _changed(self, rows: torch.Tensor, index: int, words: Words, generator: torch.Generator) -> torch.Tensor:
        """What becomes of one of the captions int64 [B, L]."""
        import torch

        row = rows[index]
        if self.form == "shuffle":
            step = int(torch.randint(1, len(rows), (), generator=generator)) if len(rows) > 1 else 0
            return rows[(index + step) % len(rows)]
        if self.form == "replace":
            return spelled(random_words(self.replaced, words, generator), len(row), words)
        if self.form == "add":
            return with_words(row, random_words(self.added, words, generator), words, generator)
        own = content(row, words)
        if not len(own):
            return row
        return with_words(row, own[torch.randint(len(own), (self.added,), generator=generator)], words, generator)
