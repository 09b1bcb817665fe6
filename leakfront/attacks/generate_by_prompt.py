"""Extraction from captions that give the same image again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from leakfront.attacks import Signal, register
from leakfront.attacks.prompt_alignment import PromptAlignment
from leakfront.attacks.prompts.generations import ChosenGenerations, GenerationsByPrompt, Order
from leakfront.attacks.prompts.judging import JudgedByCliques


@register("generate_by_prompt")
@dataclass(frozen=True)
class GenerateByPrompt(JudgedByCliques):
    """Generate and filter by the captions of the pool (Carlini et al. 2023, arXiv 2301.13188, §4.2).

    The caption of each pair, member or decoy, is asked for `samples_per_prompt` times. Of pairs that are there once,
    only `once` are asked for, 0 for all, in an order that depends on captions alone. An edge joins two images of a
    caption whose tiled distance is at most d; that is the maximum of l2, the root mean square difference of pixels in
    [0, 1], over `tiles` x `tiles` tiles. The caption is *flagged* if `clique` images are all joined. Cliques are exact,
    unless a decision needs more than 20,000 nodes of a search tree: then complete linkage decides, which finds fewer,
    and the choices say for how many captions.

    The score needs no threshold: minus the smallest d at which the pair's caption has a clique, in [-1, 0]. A flagged
    caption is not yet an extraction, since a decoy's caption can share the words of a memorized one and show that one's
    image. So three rules count apart. "flagged": the caption is. "extracted": it is, and the clique's medoid is within
    d of the pair's own image. "any_prompt": the medoid of some caption's clique is nearest to the image, and within d.
    The count at a false-discovery rate is of extractions: its score is minus the smallest d at which the pair is
    extracted. Of the flagged captions, rows state how many show a member, a decoy, or no image of the pool.

    The source does not publish d. The candidates are `quantiles` of the tiled distance from each pool image to its
    nearest other pool image. The attack takes the one that extracts the most members in excess of decoys, summed over
    shadow models; a tie goes to the smaller. Without shadow models, or where they give nothing, it takes
    `default_quantile`. The source takes 500 samples and cliques of 10.

    With `order` "alignment", of the pairs that are there once those go first whose captions `prompt_alignment` scores
    highest, by the weights of the model and blind to the coins, instead of an order by nothing. With `keep` "cliques"
    only the images of each caption's tightest clique are stored, which decide everything here; so many captions, or
    large images, need little space. All are stored of a caption whose decision was left to complete linkage.
    Access: samples; the order "alignment" needs the loss. Model calls per caption: samples_per_prompt x sampler steps,
    twice that with guidance. Behind a defense that guards the sampler it is made as served, and with the weights.
    """

    summary = "captions that give the same image again and again, and whether it is their own"

    once: Annotated[int, Ge(0)] = 0
    order: Order = "blind"
    keep: Literal["all", "cliques"] = "all"

    @property
    def compares_with_null(self) -> bool:
        return self.order == "alignment"

    @property
    def generation(self) -> GenerationsByPrompt:
        if self.order == "blind" and self.keep == "all":
            return GenerationsByPrompt(self.samples_per_prompt, self.once)
        return ChosenGenerations(
            self.samples_per_prompt, self.once, self.order, self.keep == "cliques", self.clique, self.tiles,
            self.largest_quantile,
        )  # fmt: skip

    def signals(self) -> Sequence[Signal]:
        return [PromptAlignment().signal] if self.order == "alignment" else []
