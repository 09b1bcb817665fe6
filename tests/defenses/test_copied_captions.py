"""Guidance that gives way to, and moves away from, the caption of a copied training image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from leakfront.defenses import Defense, Sampler, Serving, TrainingSet
from leakfront.defenses.captions.copied import AwayFromCopiedCaptions
from leakfront.defenses.filter import TrainingImages
from leakfront.defenses.guidance import Guidance
from leakfront.errors import InputError
from leakfront.harness.stages.sample import Request
from leakfront.harness.training.loop import to_unit_range
from leakfront.models.sampling import Table, make_sampler, with_guidance
from tests import oracle_targets as oracle
from tests.defenses.test_prompt_guard import ASKED, SEED, SETTINGS, prompts
from tests.models.test_text_to_image import CAPTIONS, built, conditions

TRAINED = np.concatenate([oracle.digits()[:20], oracle.digits()[3:4]])  # the last is there twice
TRAINING = conditions(*CAPTIONS[200:221])
W = 3.0


def served() -> Any:
    return replace(prompts(), guidance=W, training=TRAINING)


def by_hand(x: torch.Tensor, t: int, tokens: torch.Tensor, threshold: float) -> tuple[torch.Tensor, float]:
    """The prediction for one x [1, 8, 8], and its copy score."""
    model, ab = built(), built().alphas_cumprod[t]

    def eps(row: torch.Tensor) -> torch.Tensor:
        return model.predict_noise(x[None], torch.tensor([t]), row[None])[0]

    null, own = eps(model.null), eps(tokens)
    noise = null + W * (own - null)
    pixels = ((x - (1 - ab).sqrt() * noise) / ab.sqrt()).clamp(-1, 1).flatten().numpy() / 2 + 0.5
    apart = np.sqrt(((oracle.flat(TRAINED[:20]) - pixels) ** 2).mean(1))
    score = 1 - apart.min() / (0.5 * np.sort(apart)[:5].mean()) / threshold
    if score <= 0:
        return noise, float(score)
    g = min(W - 1, 2 * (W - 1) * score)
    push = max(0.0, min(W - 1 - g, (W - 1 - g) * score / 0.3))
    copied = eps(TRAINING[int(apart.argmin())])
    return null + (W - g) * (own - null) + push * (null - copied), float(score)


@torch.no_grad()
def test_both_terms_are_the_formulas_where_something_is_copied() -> None:
    asked, t = torch.cat([ASKED, ASKED]), torch.arange(12) * 80 + 5
    ab = built().alphas_cumprod[t][:, None, None, None]
    noise = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    x = ab.sqrt() * to_unit_range(TRAINED[:12]) + (1 - ab).sqrt() * noise
    known, threshold = TrainingImages(TRAINED, 5), 1.85
    found = AwayFromCopiedCaptions(served(), known, threshold).predict_noise(x, t, built().embed(asked))
    expected = [by_hand(one, int(at), row, threshold) for one, at, row in zip(x, t, asked, strict=True)]
    scores = [score for _, score in expected]
    assert min(scores) < 0 < max(scores), scores
    assert any(0.02 < score < 0.5 for score in scores), scores
    torch.testing.assert_close(found, torch.stack([noise for noise, _ in expected]), rtol=1e-3, atol=1e-4)
    nothing = AwayFromCopiedCaptions(served(), known, 0.0).predict_noise(x, t, built().embed(asked))
    guided: Any = with_guidance(built(), W)
    torch.testing.assert_close(nothing, guided.predict_noise(x, t, built().embed(asked)))


def test_guidance_with_captions_changes_what_is_served_and_no_sample_depends_on_another() -> None:
    def sampler_of(model: Any, asked: Any = None, start: Any = None) -> Any:
        return make_sampler(model, SETTINGS, SEED, conditions=asked or Table(ASKED), start=start)

    given = Serving(with_guidance(built(), W), TRAINED, sampler_of, len(ASKED), served())
    plain, guarded = (
        Guidance(threshold=2.0, scale=0.0, neighbours=5, captions=on).guard(sampler_of(given.model), given)
        for on in (False, True)
    )
    together = guarded(range(4))
    assert not torch.allclose(together, plain(range(4)), atol=1e-3)
    torch.testing.assert_close(torch.cat([guarded([3]), guarded([0])]), together[[3, 0]], rtol=1e-4, atol=1e-4)


def test_a_run_hands_a_guard_the_captions_of_the_training_pairs() -> None:
    seen: list[Serving] = []

    class Watching(Defense):
        def guard(self, sampler: Sampler, serving: Serving) -> Sampler:
            seen.append(serving)
            return sampler

    training = TrainingSet(TRAINED[:4], np.zeros(4, np.int64), np.arange(4), captions=CAPTIONS[:4])
    request = Request(Table(ASKED), len(ASKED), SEED, replace(SETTINGS, guidance=W), ASKED)
    request.sampler(built(), "cpu", [Watching()], training)
    given = seen[0].prompts
    assert given is not None
    assert given.training is not None
    assert torch.equal(given.training, conditions(*CAPTIONS[:4]))
    assert given.guidance == W


def test_what_cannot_be_guided_is_refused_in_a_sentence() -> None:
    from leakfront.models.text_to_image import TextToImage
    from leakfront.models.unet import UNet

    Guidance(captions=True).check_family(TextToImage())
    with pytest.raises(InputError, match=r"guidance\.captions .* model\.name = 'unet' is no text model"):
        Guidance(captions=True).check_family(UNet())

    class Codes:
        image_shape, latent_shape = (3, 16, 16), (4, 8, 8)

    with pytest.raises(InputError, match="guidance compares predicted images, and this model predicts codes"):
        Guidance().guard(lambda indices: torch.zeros(1), Serving(Codes(), TRAINED, lambda *_: lambda indices: _[0]))
