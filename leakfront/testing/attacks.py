"""The contract of an attack, checked on models known in closed form."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from leakfront.attacks import Attack, Scores, Shadow, Target
from leakfront.attacks.contract import Access, ShadowUse
from leakfront.testing import oracles
from leakfront.testing.plugin import calling, check_line, check_plugin, docstring, named, require, same_arrays
from leakfront.testing.signals import check_questions

if TYPE_CHECKING:
    from leakfront.models import DiffusionModel

ENOUGH = 0.9  # AUC of an attack on a model that memorized every member


def check_attack(attack: type[Attack] | Attack) -> None:
    """Raise `AssertionError` unless an attack keeps to the contract of `leakfront.attacks.Attack`.

    attack: a class, or an instance whose parameters suit a pool of 120 images and 160 samples.

    It checks that the attack states what it is (a frozen dataclass with defaults, a one-line summary, a docstring with
    the year of its source, its access and its model calls). Its signals must be measured alike in every batch, and keep
    within the stated access. Its scores must be finite, one for each pool image. They must be the same again with the
    same seed, follow the images if the pool is in another order, and need no coin of the target. On a memorizer it must
    find members: AUC at least 0.9, or for an attack on samples, more of the members that were generated than chance
    allows. On a model that never saw the pool it must find nothing. A control, whose access is "none", must never find
    anything.

    If it `needs_captions`, the models are text models and each image has its own caption. It must find the decoys of a
    memorizer of the decoys; and if it sees samples alone, it must find nothing where each caption is another image's.
    """
    attack = check_plugin(attack, Attack, "attack")
    who = named(attack, "attack")
    _check_statements(attack, who)
    check_questions(attack, who)
    images, members = oracles.digits()[: oracles.POOL], oracles.coins(1)
    texts = oracles.captions() if attack.needs_captions else None
    model = _memorizer(1, attack.needs_captions)
    seen = Sealed(**vars(oracles.target(attack, model, images, texts=texts)))
    before = _arrays(seen)
    seeds = range(2, 2 + max(2, attack.shadows_needed()))
    if attack.uses_shadows:
        shadows = oracles.shadows_of(attack, "memorizer", images, seeds, texts)
    else:  # it is handed shadow models all the same, and they play no part
        shadows = [Shadow(**vars(seen), members=oracles.coins(seed)) for seed in seeds]
    for known in sorted({attack.shadows_needed(), len(shadows)}):
        scores = _scored(attack, seen, shadows[:known], who)
        _check_scores(scores, len(images), who)
        changed = [name for name, array in _arrays(seen).items() if not same_arrays(array, before[name])]
        require(not changed, f"{who} changes its target in place: {', '.join(changed)}")
        _check_finds(attack, scores.score, seen, members, f"{who} with {known} shadow models")
    again = _scored(attack, seen, shadows, who).score
    random = "does it draw without the target's seed?"
    require(same_arrays(scores.score, again), f"{who} gives other scores for the same target and seed: {random}")
    _check_order(attack, seen, shadows, who)
    if texts is not None:
        _check_captions(attack, images, members, texts, shadows, who)
    _check_finds_nothing(attack, images, members, who)


@dataclass(frozen=True)
class Sealed(Target):
    """A target that raises `AssertionError` if it is asked for anything that no attacker has, such as coins."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AssertionError(f"the attack asks the target for {name!r}, which no attacker has")


@cache
def _memorizer(seed: int, captioned: bool, of_decoys: bool = False) -> DiffusionModel:
    """Fitted on the members of the coins with this seed, or on the decoys."""
    texts, images = oracles.captions() if captioned else None, oracles.digits()[: oracles.POOL]
    return oracles.fitted("memorizer", *oracles.chosen(images, texts, oracles.coins(seed) ^ of_decoys))


def _check_statements(attack: Attack, who: str) -> None:
    cls, text = type(attack), docstring(type(attack))
    require(getattr(cls, "access", None) in get_args(Access), f"the access of {who} must be one of {get_args(Access)}")
    require(cls.shadows in get_args(ShadowUse), f"the shadows of {who} must be one of {get_args(ShadowUse)}")
    needs = "must be at least 1 for a fit" if cls.shadows == "fit" else "must be 0 unless shadows is 'fit'"
    require((cls.minimum_shadows > 0) == (cls.shadows == "fit"), f"the minimum_shadows of {who} {needs}")
    check_line(cls.summary, f"the summary of {who}")
    for pattern, what in ((r"(19|20)\d\d", "the year of its source"), ("Access:", '"Access: …"'),
                          ("[Mm]odel calls", '"Model calls per image: …"')):  # fmt: skip
        require(re.search(pattern, text), f"the docstring of {who} must state {what}")
    enough = f"{who} needs a pool of {attack.minimum_pool()} images; check an instance that works on {oracles.POOL}"
    require(attack.minimum_pool() <= oracles.POOL, enough)
    for shadows in range(attack.shadows_needed() + 3):
        note = attack.note(shadows)
        if note or shadows < attack.shadows_needed():
            check_line(note, f"the note of {who} on {shadows} shadow models")
    sizes = attack.set_sizes()
    require(all(isinstance(size, int) and size >= 2 for size in sizes), f"the set_sizes of {who} must be at least 2")


def _scored(attack: Attack, seen: Target, shadows: Sequence[Shadow], who: str) -> Scores:
    with calling(f"{who}: score with {len(shadows)} shadow models"):
        return attack.score(seen, shadows)


def _check_scores(scores: Scores, count: int, who: str) -> None:
    require(isinstance(scores, Scores), f"{who} must return Scores, not {type(scores).__name__}")
    score = scores.score
    shape = isinstance(score, np.ndarray) and score.shape == (count,) and score.dtype.kind == "f"
    require(shape, f"{who} must return one float for each of the {count} pool images")
    require(np.isfinite(score).all(), f"{who} returns {(~np.isfinite(score)).sum()} scores that are not finite")
    if (ranks := scores.extraction) is not None:
        fits = isinstance(ranks, np.ndarray) and ranks.shape == (count,) and bool(np.isfinite(ranks).all())
        require(fits, f"the extraction score of {who} must be one finite float for each of the {count} pool images")
    for rule, mask in scores.matched.items():
        fits = isinstance(mask, np.ndarray) and mask.shape == (count,) and mask.dtype == bool
        require(fits, f"the rule {rule!r} of {who} must be one bool for each of the {count} pool images")
    for name, array in scores.evidence.items():
        stored = isinstance(array, np.ndarray) and array.dtype.kind in "biuf"
        require(stored, f"the evidence {name!r} of {who} must be an array of numbers")
    with calling(f"{who}: writing its choices as JSON"):
        json.dumps(scores.choices)


def _check_finds(attack: Attack, score: np.ndarray, seen: Target, members: np.ndarray, who: str) -> None:
    from leakfront.results.statistics.roc import auc, auc_interval

    if attack.access == "none":
        _check_chance(score, members, f"{who} does not look at the model, so it must not tell members from decoys")
    elif attack.extracts or attack.access == "samples":
        # a member that was never generated cannot be found
        emitted = [seen.generated[g]["images"] for g in attack.generations()] or [seen.samples]
        shown = oracles.nearest_pool_image(np.concatenate(emitted), seen.pool.images)
        kept = np.isin(np.arange(len(members)), shown) | ~members
        value, low, *_ = auc_interval(score[kept], members[kept], seed=0)
        sign = "does a higher score mean a member, and do its parameters suit 160 samples?"
        require(low > 0.5, f"{who} does not find the members that a memorizer generated (AUC {value:.2f}): {sign}")
    else:
        value = auc(score, members)
        sign = "does a higher score mean a member?"
        require(value >= ENOUGH, f"{who} does not find the members of a memorizer (AUC {value:.2f}): {sign}")


def _arrays(seen: Target) -> dict[str, np.ndarray]:
    """Copies of a target's arrays."""
    named_arrays = {
        **vars(seen.pool),
        "captions": np.array(seen.pool.captions or ()),
        "samples": seen.samples,
        "sample_labels": seen.sample_labels,
    }
    for part in ("signals", "generated"):
        named_arrays |= getattr(seen, part)._arrays
    return {name: array.copy() for name, array in named_arrays.items() if isinstance(array, np.ndarray)}


def _check_order(attack: Attack, seen: Target, shadows: Sequence[Shadow], who: str) -> None:
    """Measure and score the pool in another order and in batches of 7."""
    order = np.random.default_rng(4).permutation(oracles.POOL)
    texts = seen.pool.captions and [seen.pool.captions[i] for i in order]
    model = _memorizer(1, attack.needs_captions)
    moved = oracles.target(attack, model, seen.pool.images[order], batch_size=7, texts=texts)
    here = _scored(attack, seen, shadows, who).score[order]
    there = _scored(attack, moved, [oracles.permuted_shadow(known, order) for known in shadows], who).score
    apart = np.abs(here - there) > 1e-7 + 1e-4 * np.abs(here)
    require(not apart.any(), f"{who} gives {apart.sum()} images another score if the pool is in another order or batch")


def _check_finds_nothing(attack: Attack, images: np.ndarray, members: np.ndarray, who: str) -> None:
    elsewhere = slice(500, 1100)
    texts, theirs = (oracles.captions(), oracles.captions(elsewhere)) if attack.needs_captions else (None, None)
    model = oracles.fitted("gaussian", oracles.digits()[elsewhere], theirs)
    seen = oracles.target(attack, model, images, texts=texts)
    seeds = range(2, 2 + max(2, attack.shadows_needed()))
    shadows = [Shadow(**vars(seen), members=oracles.coins(seed)) for seed in seeds]
    score = _scored(attack, seen, shadows, who).score
    _check_chance(score, members, f"{who} must find nothing on a model that never saw the pool")


def _check_captions(
    attack: Attack, images: np.ndarray, members: np.ndarray, texts: Sequence[str], shadows: Sequence[Shadow], who: str
) -> None:
    """Check that decoys are found if the model learned these, and that another image's caption shows nothing."""
    known = shadows[: attack.shadows_needed()]
    mirrored = oracles.target(attack, _memorizer(1, True, of_decoys=True), images, texts=texts)
    _check_finds(attack, _scored(attack, mirrored, known, who).score, mirrored, ~members, f"{who}, with coins swapped,")
    if attack.access == "samples":
        other = oracles.target(attack, _memorizer(1, True), images, texts=oracles.permuted(texts))
        sentence = f"{who} must not find images whose captions are those of others"
        _check_chance(_scored(attack, other, known, who).score, members, sentence)


def _check_chance(score: np.ndarray, members: np.ndarray, sentence: str) -> None:
    """Raise `AssertionError` if the AUC is more than 4 standard errors of pure chance from 0.5."""
    from leakfront.results.statistics.roc import auc

    m, n = int(members.sum()), int((~members).sum())
    value = auc(score, members)
    require(abs(value - 0.5) < 4 * np.sqrt((m + n + 1) / (12 * m * n)), f"{sentence} (AUC {value:.2f})")
