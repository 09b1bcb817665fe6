"""Generations by caption: whom they are asked for, and that one caption's images depend on nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from leakfront.attacks import Generated, PoolView
from leakfront.attacks.prompts import generations
from leakfront.attacks.prompts.generations import GenerationsByPrompt, representatives
from tests import oracle_targets as oracle
from tests.models.test_text_to_image import CAPTIONS, SMALL

PAIRS = 8


def view(texts: tuple[str, ...] = CAPTIONS[:PAIRS]) -> PoolView:
    model = SMALL.build((1, 8, 8), 10, 3, CAPTIONS)
    conditions = model.conditions(torch.zeros(len(texts), dtype=torch.long), texts).numpy()
    return oracle.pool_view(oracle.digits()[: len(texts)], texts, conditions)


def generated(of: GenerationsByPrompt, pool: PoolView, guidance: float = 2.0) -> Generated:
    model = SMALL.build((1, 8, 8), 10, 3, CAPTIONS)
    assert model.network is not None
    model.network.eval()
    context = oracle.context(model, pool, oracle.digits()[:4])

    def sample(*arguments: object, **_: object) -> np.ndarray:
        return context.sample(*arguments, steps=2, guidance=guidance)  # type: ignore[arg-type]

    return of.generate(replace(context, sample=sample))


def close(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((np.abs(a.astype(int) - b.astype(int)) <= 1).all())


def test_images_depend_neither_on_their_number_nor_on_other_prompts_nor_on_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = generated(GenerationsByPrompt(4), view())
    assert whole.prompt.tolist() == np.repeat(np.arange(PAIRS), 4).tolist()
    fewer = generated(GenerationsByPrompt(2), view())
    assert close(fewer.images[fewer.prompt == 3], whole.images[whole.prompt == 3][:2])
    order = np.random.default_rng(0).permutation(PAIRS)
    moved = generated(GenerationsByPrompt(4), view(tuple(CAPTIONS[i] for i in order)))
    for place, pair in enumerate(order.tolist()):
        assert close(moved.images[moved.prompt == place], whole.images[whole.prompt == pair])
    monkeypatch.setattr(generations, "PROMPTS", 3)
    parted = generated(GenerationsByPrompt(4), view())
    assert close(parted.images, whole.images)
    assert not close(whole.images[whole.prompt == 0], whole.images[whole.prompt == 1])
    assert not close(generated(GenerationsByPrompt(4), view(), 1.0).images, whole.images)


def test_pairs_with_one_caption_share_their_images() -> None:
    texts = (CAPTIONS[0], CAPTIONS[1], CAPTIONS[0], CAPTIONS[2])
    assert representatives(view(texts)).tolist() == [0, 1, 0, 3]
    found = generated(GenerationsByPrompt(2), view(texts))
    assert found.prompt.tolist() == [0, 0, 1, 1, 3, 3]


def test_planted_pairs_are_all_asked_for_and_some_of_the_others_by_their_captions_alone() -> None:
    copies = np.array([1, 1, 5, 1, 1, 5, 1, 1])
    pool = replace(view(), copies=copies)
    asked = GenerationsByPrompt(2, once=3).asked(pool)
    assert asked[copies > 1].all()
    assert asked[copies == 1].sum() == 3
    assert GenerationsByPrompt(2).asked(pool).all()
    order = np.random.default_rng(1).permutation(PAIRS)
    moved = replace(pool, conditions=pool.conditions[order], copies=copies[order])
    np.testing.assert_array_equal(GenerationsByPrompt(2, once=3).asked(moved), asked[order])
