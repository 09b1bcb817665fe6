"""Extraction by caption: on text models known in closed form, and on generations made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from leakfront.attacks import PoolView, Scores, Shadow, Signals, Target
from leakfront.attacks.contract import signal_key
from leakfront.attacks.generate_by_prompt import GenerateByPrompt
from leakfront.attacks.prompt_alignment import PromptAlignment
from leakfront.attacks.prompts.generations import ChosenGenerations
from leakfront.attacks.prompts.judging import LOWEST, NOT_FLAGGED, NOTHING
from leakfront.errors import InputError
from tests import oracle_targets as oracle

ATTACK = GenerateByPrompt(samples_per_prompt=6, clique=5)
IMAGES = oracle.digits()[: oracle.POOL]


def of_memorizer(texts: tuple[str, ...]) -> Scores:
    """Scores of a memorizer of the members with their own captions, asked by `texts`."""
    model = oracle.fitted("memorizer", *oracle.chosen(IMAGES, oracle.captions(), oracle.coins(1)))
    return ATTACK.score(oracle.target(ATTACK, model, IMAGES, texts=texts), [])


def test_a_memorizer_shows_every_member_to_its_own_caption_and_no_decoy() -> None:
    found, members = of_memorizer(oracle.captions()), oracle.coins(1)
    for rule in ("flagged", "extracted", "any_prompt"):
        np.testing.assert_array_equal(found.matched[rule], members)
    assert found.extraction is not None
    assert found.score[members].max() == found.score[members].min() == found.extraction[members].min() == 0
    assert found.score[~members].max() < 0
    np.testing.assert_array_equal(found.evidence["clique_shows"], np.where(members, np.arange(len(members)), -2))


def test_with_captions_of_others_only_the_image_of_any_prompt_is_found() -> None:
    permuted, members = oracle.permuted(oracle.captions()), oracle.coins(1)
    found = of_memorizer(permuted)
    moved = np.array([text != own for text, own in zip(permuted, oracle.captions(), strict=True)])
    assert not found.matched["extracted"][moved].any()
    np.testing.assert_array_equal(found.matched["any_prompt"], members)
    assert found.matched["flagged"].sum() == members.sum()


def pool(sizes: int = 8, copies: Any = 1) -> PoolView:
    """Flat images of grey levels 30 apart, each with a caption of its own."""
    levels = (30 * np.arange(sizes)).astype(np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (sizes, 1, 8, 8)).copy()
    view = oracle.pool_view(images, [f"grey {level}" for level in levels], np.arange(sizes)[:, None] + 5)
    return replace(view, copies=np.broadcast_to(copies, sizes).copy())


def seen(view: PoolView, made: dict[int, list[int]], attack: GenerateByPrompt) -> Target:
    """A target whose generations are flat images of these grey levels, by prompt."""
    levels = np.array([level for prompt in sorted(made) for level in made[prompt]], np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (len(levels), 1, 8, 8))
    prompt = np.array([prompt for prompt in sorted(made) for _ in made[prompt]])
    key = signal_key(attack.generation)
    generated = Signals({f"{key}/images": images, f"{key}/prompt": prompt})
    return replace(oracle.only_samples(view, images[:1]), generated=generated)


GREY = GenerateByPrompt(samples_per_prompt=4, clique=3, quantiles=(0.5,), default_quantile=0.5)
# pool images lie 30 apart, so d is 30 / 255; the last two captions were not asked for
MADE = {
    0: [0, 2, 4, 200],  # its own image
    1: [60, 61, 62, 250],  # the image of pair 2
    2: [10, 80, 150, 220],  # nothing twice
    3: [140, 143, 139, 145],  # image 5 (150), 50 from its own
    4: [255, 255, 254, 100],  # 45 beyond the last image
    5: [120, 200, 240, 255],
}


def test_scores_rules_and_what_cliques_show_follow_from_distances() -> None:
    found = GREY.score(seen(pool(), MADE, GREY), [])
    assert found.choices["distance"] == pytest.approx(30 / 255)
    heights = np.array([4, 2, 140, 4, 1, 55, np.inf, np.inf])
    np.testing.assert_allclose(found.score[:6], -heights[:6] / 255, atol=1e-12)
    assert set(found.score[6:]) == {LOWEST}
    assert found.matched["flagged"].tolist() == [True, True, False, True, True, False, False, False]
    assert found.matched["extracted"].tolist() == [True] + 7 * [False]
    shows = [0, 2, NOT_FLAGGED, 5, NOTHING, NOT_FLAGGED, NOT_FLAGGED, NOT_FLAGGED]
    assert found.evidence["clique_shows"].tolist() == shows
    assert np.flatnonzero(found.matched["any_prompt"]).tolist() == [0, 2, 5]
    assert found.extraction is not None
    np.testing.assert_allclose(found.extraction[:2], [-4 / 255, -31 / 255], atol=1e-12)
    assert found.evidence["copies_prompt"].tolist() == [4, 1, 0, 3]
    assert found.evidence["copies_images"].shape == (4, 3, 1, 8, 8)
    assert found.evidence["copies_images"][1, 0, 0, 0, 0] == 61


def test_a_pair_with_the_caption_of_another_is_judged_by_the_same_images() -> None:
    view = pool()
    view.conditions[7] = view.conditions[0]
    found = GREY.score(seen(view, MADE, GREY), [])
    assert found.score[7] == found.score[0]
    assert found.matched["flagged"][7]
    assert not found.matched["extracted"][7]


def test_the_distance_that_extracts_most_members_beyond_decoys_on_shadow_models_is_taken() -> None:
    attack = replace(GREY, quantiles=(0.0, 0.5, 1.0), default_quantile=0.0)
    view = replace(pool(), images=np.repeat(np.array([0, 1, 20, 60, 120, 200], np.uint8), 64).reshape(6, 1, 8, 8))
    view = replace(view, variants=view.images, variant_of=np.arange(6), copies=np.ones(6, int),
                   conditions=view.conditions[:6])  # fmt: skip
    made = {0: [0, 0, 0, 9], 3: [60, 60, 80, 80], 4: [120, 180, 200, 120]}  # h: 0, 20, 60
    target = seen(view, made, attack)

    def taken(*members: int) -> tuple[Any, str]:
        shadow = Shadow(**vars(target), members=np.isin(np.arange(6), members))
        choices = attack.score(target, [shadow]).choices
        return choices["quantile"], choices["chosen by"]

    assert taken(0) == (0.0, "most members beyond decoys extracted on 1 shadow models")
    assert taken(0, 3)[0] == 0.5
    assert taken(0, 3, 4)[0] == 1.0
    assert taken(5) == (0.0, "the default quantile (nothing extracted on 1 shadow models)")


def test_altered_copies_count_as_the_image() -> None:
    view = pool()
    altered = np.full((1, 1, 8, 8), 100, np.uint8)
    view = replace(view, variants=np.concatenate([view.images, altered]), variant_of=np.array([*range(8), 0]))
    found = GREY.score(seen(view, {0: [100, 101, 102, 7]}, GREY), [])
    assert found.matched["extracted"].tolist() == [True] + 7 * [False]


def test_a_caption_left_to_complete_linkage_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from leakfront.attacks.prompts import judging as module

    exact = module.smallest_clique
    assert "captions left to complete linkage" not in GREY.score(seen(pool(), MADE, GREY), []).choices
    monkeypatch.setattr(module, "smallest_clique", lambda between, size: exact(between, size, budget=0))
    assert GREY.score(seen(pool(), MADE, GREY), []).choices["captions left to complete linkage"] >= 1


def kept(attack: GenerateByPrompt, images: np.ndarray, texts: tuple[str, ...]) -> tuple[Target, Scores]:
    model = oracle.fitted("memorizer", *oracle.chosen(images, texts, np.arange(len(images)) % 2 == 0))
    seen = oracle.target(attack, model, images, texts=texts)
    return seen, attack.score(seen, [])


def test_the_tightest_clique_of_each_caption_decides_all_that_all_images_decide() -> None:
    images, texts = IMAGES[:24], oracle.captions()[:24]
    every = GenerateByPrompt(samples_per_prompt=9, clique=3)
    whole, found = kept(every, images, texts)
    fewer, again = kept(replace(every, keep="cliques"), images, texts)
    stored = [one.generated[attack.generation]["prompt"] for one, attack in
              ((whole, every), (fewer, replace(every, keep="cliques")))]  # fmt: skip
    assert [np.bincount(prompt).tolist() for prompt in stored] == [[9] * 24, [3] * 24]
    within = -found.score <= found.choices["distance"]
    np.testing.assert_array_equal(again.score[within], found.score[within])
    assert again.extraction is not None
    assert found.extraction is not None
    np.testing.assert_array_equal(again.extraction[within], found.extraction[within])
    for rule, mask in found.matched.items():
        np.testing.assert_array_equal(again.matched[rule], mask)
    np.testing.assert_array_equal(again.evidence["copies_images"], found.evidence["copies_images"])
    assert found.matched["extracted"].sum() == 12


def test_all_images_stay_of_a_caption_whose_search_was_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    from leakfront.attacks.prompts import generations as module

    exact = module.smallest_clique
    monkeypatch.setattr(module, "smallest_clique", lambda *given: replace(exact(*given), exact=False))
    generation = GenerateByPrompt(samples_per_prompt=9, clique=3, keep="cliques").generation
    assert isinstance(generation, ChosenGenerations)
    assert len(generation._tightest(1.0, IMAGES[:9])) == 9
    monkeypatch.undo()
    assert len(generation._tightest(1.0, IMAGES[:9])) == 3


def test_with_alignment_the_captions_with_the_highest_scores_are_asked_for_first() -> None:
    attack, view = GenerateByPrompt(samples_per_prompt=2, clique=2, once=3, order="alignment"), pool()
    view.copies[4] = 2  # planted: always asked for
    alignment = PromptAlignment()
    assert attack.signals() == [alignment.signal]
    assert attack.compares_with_null
    assert not ATTACK.compares_with_null
    assert ATTACK.signals() == []
    magnitude, cosine = np.array([1, 9, 3, 2, 0, 8, 1, 7.5]), np.array([0, -1, 0, 0, 9, 0, 3.6, 0])
    signals = {alignment.signal: {"magnitude": magnitude, "alignment": cosine}}
    generation = attack.generation
    assert isinstance(generation, ChosenGenerations)
    asked = generation.first_of(view, alignment.by_weight(signals[alignment.signal], alignment.default_weight))
    assert np.flatnonzero(asked).tolist() == [4, 5, 6, 7]  # of 1, 9 - 2, 3, 2, 8, 1 + 2 x 3.6 and 7.5

    members = np.arange(24) % 2 == 0
    texts = oracle.captions()[:24]
    model = oracle.fitted("memorizer", *oracle.chosen(IMAGES[:24], texts, members))
    whole = oracle.target(replace(attack, once=12), model, IMAGES[:24], texts=texts)
    scores = alignment.by_weight(whole.signals[alignment.signal], alignment.default_weight)
    chosen = np.unique(whole.generated[replace(attack, once=12).generation]["prompt"])
    assert scores[chosen].min() >= np.delete(scores, chosen).max()


def test_too_few_samples_for_a_clique_are_refused() -> None:
    with pytest.raises(InputError, match="samples_per_prompt is 4; it must be at least clique, 5"):
        GenerateByPrompt(samples_per_prompt=4, clique=5)
