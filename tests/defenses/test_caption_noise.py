"""Captions are changed at their probability, in their form, and nothing else of a batch is."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest

from leakfront.defenses.caption_noise import CaptionNoise
from leakfront.defenses.captions.embeddings import mixed
from leakfront.defenses.captions.tokens import content, spelled, with_words
from leakfront.errors import InputError
from leakfront.harness.training.batches import reconditioned
from leakfront.models.contract import Words
from tests.defenses.test_defenses import setup
from tests.defenses.text_setup import batch, text_setup

WORDS = Words(100, 101, torch.arange(50, 60))
LENGTH = 8


def row(*tokens: int) -> torch.Tensor:
    return spelled(torch.tensor(tokens, dtype=torch.long), LENGTH, WORDS)


def changed(form: str, rows: torch.Tensor, probability: float = 1.0, seed: int = 0, **parameters: Any) -> torch.Tensor:
    noise = CaptionNoise(form=form, probability=probability, **parameters)
    return noise.recondition(rows, WORDS, torch.Generator().manual_seed(seed))


def contents(rows: torch.Tensor) -> list[list[int]]:
    return [content(row, WORDS).tolist() for row in rows]


def test_a_caption_is_its_tokens_between_begin_and_end() -> None:
    assert row(1, 2).tolist() == [100, 1, 2, 101, 101, 101, 101, 101]
    assert row(*range(9)).tolist() == [100, 0, 1, 2, 3, 4, 5, 101]  # no more than fit
    assert content(row(1, 2), WORDS).tolist() == [1, 2]
    assert content(row(), WORDS).tolist() == []


@pytest.mark.parametrize("form", ["replace", "add", "repeat", "shuffle"])
def test_captions_are_changed_at_their_probability(form: str) -> None:
    rows = torch.stack([row(i, i + 1, i + 2) for i in range(40)]).repeat(50, 1)
    differs = (changed(form, rows, 0.3) != rows).any(1).float().mean()
    assert abs(float(differs) - 0.3) < 0.04
    assert torch.equal(changed(form, rows, 0.0), rows)


def test_replace_puts_random_words_in_place_of_all() -> None:
    found = contents(changed("replace", row(1, 2).expand(500, -1), replaced=3))
    assert {len(tokens) for tokens in found} == {3}
    assert {token for tokens in found for token in tokens} == set(range(50, 60))
    assert {len(tokens) for tokens in contents(changed("replace", row(1).expand(5, -1), replaced=9))} == {6}


def test_add_puts_random_words_between_the_others() -> None:
    found = contents(changed("add", row(1, 2, 3).expand(2000, -1)))
    assert all([token for token in tokens if token < 50] == [1, 2, 3] for tokens in found)
    assert {len(tokens) for tokens in found} == {5}
    first = [next(i for i, token in enumerate(tokens) if token >= 50) for tokens in found]
    assert set(first) == {0, 1, 2, 3}
    assert {token for tokens in found for token in tokens if token >= 50} == set(range(50, 60))


def test_of_a_full_caption_the_last_tokens_make_room() -> None:
    for tokens in contents(changed("add", row(1, 2, 3, 4, 5, 6).expand(50, -1))):
        assert [token for token in tokens if token < 50] == [1, 2, 3, 4]
        assert len(tokens) == 6
    assert len(content(with_words(row(1), torch.arange(50, 59), WORDS, torch.Generator()), WORDS)) == 6


def test_repeat_puts_a_captions_own_words_in_again() -> None:
    found = contents(changed("repeat", row(1, 2, 3).expand(500, -1), added=1))
    assert {tuple(sorted(tokens)) for tokens in found} == {(1, 1, 2, 3), (1, 2, 2, 3), (1, 2, 3, 3)}
    assert contents(changed("repeat", row()[None])) == [[]]


def test_shuffle_takes_the_caption_of_another_pair() -> None:
    rows = torch.stack([row(i) for i in range(6)])
    seen = {i: set() for i in range(6)}
    for seed in range(200):
        for i, (token,) in enumerate(contents(changed("shuffle", rows, seed=seed))):
            seen[i].add(token)
    assert seen == {i: set(range(6)) - {i} for i in range(6)}
    assert torch.equal(changed("shuffle", rows[:1]), rows[:1])


@pytest.mark.parametrize(("form", "mixes"), [("gauss", False), ("mixup", True)])
def test_of_embeddings_only_mixup_mixes_the_pairs_of_a_batch(form: str, mixes: bool) -> None:
    assert CaptionNoise(form=form).training(text_setup()[0]).mixes_images == mixes


@pytest.mark.parametrize(("form", "mixes"), [("replace", False), ("add", False), ("repeat", False), ("shuffle", True)])
def test_only_shuffling_mixes_the_pairs_of_a_batch(form: str, mixes: bool) -> None:
    assert CaptionNoise(form=form).training(setup()).mixes_images == mixes
    mixing = dataclasses.replace(setup(), mixes_images=True)
    assert CaptionNoise(form=form).training(mixing).mixes_images


@pytest.mark.parametrize("form", ["gauss", "mixup"])
def test_the_source_s_formulas_change_what_the_encoder_makes_of_captions(form: str) -> None:
    """Somepalli's code: e + lam randn; lam ~ np.random.beta(lam, 1), lam e + (1 - lam) e[randperm]."""
    given, model = text_setup()
    noise = CaptionNoise(form=form, strength=0.5)
    changed = noise.training(given)
    images, condition = batch(given, 6)
    tokens, seen = condition.clone(), []
    given.network.unet.register_forward_pre_hook(
        lambda module, arguments, options: seen.append(options["encoder_hidden_states"]), with_kwargs=True
    )
    with torch.no_grad():
        changed.loss(given.network, images, condition, torch.Generator().manual_seed(3))
        (found,) = seen
        again = torch.Generator().manual_seed(3)
        torch.randint(1000, (6,), generator=again)
        torch.randn(images.shape, generator=again)
        dropped = torch.rand(6, generator=again) < 0.1
        rows = torch.where(dropped[:, None], model.null, condition)
        embedding = given.network.embed(rows)
        if form == "gauss":
            expected = embedding + 0.5 * torch.randn(embedding.shape, generator=again)
        else:
            share = float(torch.rand((), dtype=torch.float64, generator=again)) ** 2
            expected = share * embedding + (1 - share) * embedding[torch.randperm(6, generator=again)]
    torch.testing.assert_close(found, expected)
    assert torch.equal(condition, tokens)
    assert torch.equal(noise.recondition(tokens, WORDS, torch.Generator()), tokens)


def test_the_share_of_mixup_is_drawn_from_beta() -> None:
    generator, rows = torch.Generator().manual_seed(0), torch.tensor([[[1.0]], [[0.0]]])
    found = torch.stack([mixed(rows, 0.5, generator).flatten() for _ in range(4000)]).numpy()
    np.testing.assert_allclose(found.sum(1), 1, rtol=0, atol=1e-6)
    shares = found[found[:, 0] < 1, 0]  # the others kept their order
    assert 1800 < len(shares) < 2200
    assert kstest(shares, beta(0.5, 1).cdf).pvalue > 0.01


@pytest.mark.parametrize(("form", "name", "value"), [("gauss", "probability", 0.3), ("add", "strength", 0.3)])
def test_a_parameter_without_effect_is_refused(form: str, name: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"caption_noise\.{name} is 0\.3; it has no effect with form = '{form}'"):
        CaptionNoise(form=form, **{name: value})


def test_a_model_without_captions_is_refused() -> None:
    with pytest.raises(InputError, match="this model is not conditioned on any"):
        CaptionNoise(form="gauss").training(setup())
    with pytest.raises(InputError, match="this model is not conditioned on any"):
        CaptionNoise().recondition(torch.arange(5), None, torch.Generator())


def test_defenses_of_a_stack_change_captions_one_after_the_other() -> None:
    stack = [CaptionNoise(probability=1.0, replaced=1), CaptionNoise("add", 1.0, added=2)]
    found = contents(reconditioned(stack, WORDS, row(1, 2, 3)[None], torch.Generator().manual_seed(0)))
    assert len(found[0]) == 3
    assert min(found[0]) >= 50


@pytest.mark.parametrize("step", ["plain", "private", "distill"])
def test_every_training_step_changes_the_conditions_of_its_batches(step: str) -> None:
    from leakfront import defenses

    seen: list[torch.Tensor] = []
    given = setup()
    usual = given.loss

    def loss(network: Any, images: Any, condition: torch.Tensor, generator: Any) -> Any:
        seen.append(condition)
        return usual(network, images, condition, generator)

    given.loss, given.recondition = loss, lambda condition, generator: condition + 7
    if step != "plain":
        name, parameters = ("dp_sgd", {"accountant": "rdp"}) if step == "private" else (step, {})
        given = defenses.registry.get(name)(**parameters).training(given)
    made = given.make_step(given)
    indices = made.draw(torch.Generator().manual_seed(0))
    made.update(torch.rand(len(indices), 1, 8, 8), indices, torch.Generator().manual_seed(0))
    assert torch.equal(torch.cat(seen), indices + 7)
