"""The guard of prompts: it steers those that exceed the threshold, and no others, each sample on its own."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from leakfront.defenses import Prompts, Serving
from leakfront.defenses.captions.tokens import content
from leakfront.defenses.prompt_guard import PromptGuard, magnitude, sharpness
from leakfront.errors import InputError
from leakfront.models.sampling import SamplerSettings, Table, first_timestep, make_sampler, start_noise, with_guidance
from tests import oracle_targets as oracle
from tests.models.test_text_to_image import CAPTIONS, built, conditions

SETTINGS, SEED = SamplerSettings(steps=4), 7
ASKED = conditions(*CAPTIONS[:6])


def prompts() -> Prompts:
    def start(indices: Any) -> torch.Tensor:
        return torch.stack([start_noise(SEED, i, (1, 8, 8))[0] for i in indices])

    public = conditions(*CAPTIONS[100:180])
    return Prompts(built(), Table(ASKED), public, start, first_timestep(built(), SETTINGS), SEED)


def serving(guidance: float = 1.0) -> Serving:
    def sampler_of(model: Any, conditions: Any = None, start: Any = None) -> Any:
        return make_sampler(model, SETTINGS, SEED, conditions=conditions or Table(ASKED), start=start)

    return Serving(with_guidance(built(), guidance), oracle.digits()[:20], sampler_of, len(ASKED), prompts())


def magnitudes(embedding: torch.Tensor, indices: range = range(6)) -> torch.Tensor:
    return magnitude(prompts(), prompts().start(indices), embedding)


def test_the_magnitude_is_the_distance_of_two_predictions_at_the_first_step() -> None:
    x_t, t = prompts().start(range(6)), torch.full((6,), 750)
    with torch.no_grad():
        apart = built().predict_noise(x_t, t, ASKED) - built().predict_noise(x_t, t)
        found = magnitudes(built().embed(ASKED))
    torch.testing.assert_close(found, apart.flatten(1).square().sum(1).sqrt(), rtol=1e-4, atol=1e-6)


def test_the_threshold_is_the_quantile_of_captions_outside_the_pool() -> None:
    with torch.no_grad():
        public = prompts().public
        found = magnitude(prompts(), prompts().start(range(80)), built().embed(public)).double()
    for quantile in (0.0, 0.5, 1.0):
        threshold = PromptGuard(quantile=quantile)._threshold(prompts())
        assert threshold == pytest.approx(float(found.quantile(quantile)), rel=1e-5)


def test_captions_above_the_threshold_are_changed_until_they_are_not() -> None:
    before = built().embed(ASKED)
    usual = magnitudes(before)
    threshold = float(usual.median())
    found = PromptGuard(steps=200)._steered(prompts(), range(6), threshold)
    assert bool((magnitudes(found) <= threshold).all())
    assert torch.equal(found[usual <= threshold], before[usual <= threshold])
    changed = (found != before).any(2)
    assert changed[usual > threshold][:, 1:].any(1).all()
    assert not changed[:, 0].any()  # the first token stays


def test_at_most_its_steps_are_taken() -> None:
    before = built().embed(ASKED)
    one = PromptGuard(steps=1)._steered(prompts(), range(6), 0.0)
    assert float((one - before).abs().max()) == pytest.approx(0.1, rel=0.05)  # AdamW's first step is its rate
    assert not torch.equal(PromptGuard(steps=2)._steered(prompts(), range(6), 0.0), one)


def test_start_noise_is_moved_by_adam_on_the_source_s_loss() -> None:
    """SAIL's Algorithm 2, written once more: one step of Adam moves each value by its rate against the gradient."""
    model, t = built(), torch.full((6,), 750)

    def apart(x: torch.Tensor) -> torch.Tensor:
        return model.predict_noise(x, t, ASKED) - model.predict_noise(x, t)

    x = prompts().start(range(6)).clone().requires_grad_()
    moved = x + apart(x) / apart(x).reshape(6, -1).norm(dim=1).reshape(6, 1, 1, 1)
    loss = apart(moved).reshape(6, -1).norm(dim=1) + 0.05 * x.reshape(6, -1).norm(dim=1)
    (gradient,) = torch.autograd.grad(loss.sum(), x)
    torch.testing.assert_close(sharpness(prompts(), x, model.embed(ASKED)), loss, rtol=1e-4, atol=1e-6)
    threshold = float(loss.detach().median())  # of six values the third
    found = PromptGuard(form="noise", steps=1)._started(prompts(), range(6), threshold)
    above = loss.detach() > threshold
    large = gradient.abs() > 1e-5
    expected = (x - 0.05 * gradient.sign()).detach()
    torch.testing.assert_close(found[above][large[above]], expected[above][large[above]], rtol=0, atol=1e-4)
    assert torch.equal(found[~above], x.detach()[~above])
    assert int(above.sum()) == 3


def test_start_noise_is_moved_until_it_is_no_longer_sharp() -> None:
    embedding = built().embed(ASKED)
    usual = sharpness(prompts(), prompts().start(range(6)), embedding)
    threshold = float(usual.min())
    found = PromptGuard(form="noise", steps=300)._started(prompts(), range(6), threshold)
    with torch.no_grad():
        assert bool((sharpness(prompts(), found, embedding) <= threshold).all())
    public = prompts().public
    over_public = sharpness(prompts(), prompts().start(range(80)), built().embed(public)).double()
    guard = PromptGuard(form="noise", quantile=0.5)
    assert guard._threshold(prompts()) == pytest.approx(float(over_public.quantile(0.5)), rel=1e-5)


@pytest.mark.parametrize("form", ["embedding", "noise", "words"])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_served_samples_differ_and_depend_on_their_index_alone(form: str, guidance: float) -> None:
    given = serving(guidance)
    plain = given.make_sampler(given.model)
    sampler = PromptGuard(form=form, quantile=0.0).guard(plain, given)
    together = sampler(range(6))
    assert not torch.allclose(together, plain(range(6)), atol=1e-4)
    apart = torch.cat([sampler([5]), sampler(range(2, 5)), sampler([1, 0])])
    torch.testing.assert_close(apart, together[[5, 2, 3, 4, 1, 0]], rtol=1e-4, atol=1e-4)


def test_a_threshold_that_nothing_exceeds_changes_nothing() -> None:
    given = serving()
    plain = given.make_sampler(given.model)
    guard = PromptGuard()
    found = given.make_sampler(given.model, partial(guard._steered, prompts(), threshold=1e9))
    torch.testing.assert_close(found(range(6)), plain(range(6)))


def test_words_are_put_in_anew_for_each_sample_of_a_caption() -> None:
    words = built().words
    assert words is not None
    found = PromptGuard(form="words", words=3)._with_words(prompts(), [0, 6, 12])  # the same caption three times
    own = content(ASKED[0], words).tolist()
    assert len({tuple(row.tolist()) for row in found}) == 3
    for row in found:
        left = content(row, words).tolist()
        assert len(left) == len(own) + 3
        for token in own:
            left.remove(token)
        assert set(left) <= set(words.ids.tolist())


def test_a_model_without_captions_is_refused() -> None:
    model = oracle.fitted("memorizer", oracle.digits()[:20])
    given = Serving(model, oracle.digits()[:20], lambda served: make_sampler(served, SETTINGS, SEED))
    with pytest.raises(InputError, match="this model is not conditioned on any"):
        PromptGuard().guard(given.make_sampler(model), given)
