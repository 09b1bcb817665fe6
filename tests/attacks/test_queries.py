"""What queries ask of text models, of models with a base, and of models that work on codes of images."""

from __future__ import annotations

import pytest
import torch

from leakfront.attacks.inpainting import Inpainting
from leakfront.attacks.queries.given import Null, Third, third
from leakfront.attacks.queries.queries import Queries
from leakfront.attacks.queries.views import Flip
from leakfront.attacks.rediffuse import ReDiffuse
from leakfront.models import DiffusionModel
from leakfront.models.diffusion import cosine_alphas_cumprod
from leakfront.models.sampling import SamplerSettings, make_sampler, make_scheduler
from tests.models.test_text_to_image import CAPTIONS, SMALL, built

TEXTS = CAPTIONS[:3]
IMAGES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1


def of_text(model: DiffusionModel, texts: tuple[str, ...] = TEXTS) -> Queries:
    given = model.conditions(torch.zeros(len(texts), dtype=torch.long), texts)
    return Queries(model, IMAGES[: len(texts)], given, seed=3, captions=texts)


def asked(texts: list[str], x_t: torch.Tensor, t: int) -> torch.Tensor:
    model = built()
    at = torch.full((len(x_t),), t)
    return model.predict_noise(x_t, at, model.conditions(torch.zeros(len(texts), dtype=torch.long), texts))


@torch.no_grad()
def test_a_model_is_asked_with_other_captions_on_the_same_noised_images() -> None:
    queries = of_text(built())
    x_t = queries.noised(queries.noise(2), 300, Flip())
    words = [text.split() for text in TEXTS]
    for given, texts in (
        (None, list(TEXTS)),
        (Null(), [""] * 3),
        (Third(0), [" ".join(own[: len(own) // 3]) for own in words]),
        (Third(2), [" ".join(own[len(own) * 2 // 3 :]) for own in words]),
    ):
        found = queries.noisy_prediction(2, 300, Flip(), given)
        torch.testing.assert_close(found, asked(texts, x_t, 300), rtol=1e-4, atol=1e-5)
        error = (found - queries.noise(2)).square().flatten(1).mean(1)
        torch.testing.assert_close(queries.loss(2, 300, Flip(), given), error)
    assert queries.calls == 4


@torch.no_grad()
def test_at_pure_noise_the_prediction_depends_on_the_caption_alone() -> None:
    queries = of_text(built(), (TEXTS[0], TEXTS[1], TEXTS[0]))
    found = queries.prompt_prediction(1, 980)
    torch.testing.assert_close(found[0], found[2])
    assert not torch.allclose(found[0], found[1])
    x_t = queries.noise(1).expand(3, -1, -1, -1)
    torch.testing.assert_close(
        queries.prompt_prediction(1, 980, Null()), asked([""] * 3, x_t, 980), rtol=1e-4, atol=1e-5
    )
    queries.prompt_prediction(1, 980)
    assert queries.calls == 2


@pytest.mark.parametrize("caption", ["one two three four five six seven", "one two", "", "one  two\tthree"])
def test_thirds_of_a_caption_are_its_words_in_order(caption: str) -> None:
    parts = [third(caption, part).split() for part in range(3)]
    assert [word for part in parts for word in part] == caption.split()
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@torch.no_grad()
def test_the_base_is_asked_the_same_and_its_calls_count() -> None:
    model, base = SMALL.build((1, 8, 8), 10, 3, CAPTIONS[:9]), SMALL.build((1, 8, 8), 10, 4, CAPTIONS[:9])
    model.network.eval()
    base.network.eval()
    model.base = base
    queries, alone = of_text(model), of_text(base)
    assert torch.equal(queries.base.noisy_prediction(0, 200), alone.noisy_prediction(0, 200))
    assert not torch.equal(queries.noisy_prediction(0, 200), alone.noisy_prediction(0, 200))
    assert (queries.calls, queries.base.calls) == (2, 1)


def test_what_a_model_lacks_is_named() -> None:
    queries = Queries(Codes(), IMAGES, torch.zeros(3, dtype=torch.long), seed=3)
    with pytest.raises(ValueError, match="fine-tuned from"):
        _ = queries.base
    with pytest.raises(ValueError, match="no condition that says nothing"):
        queries.noisy_prediction(0, 100, given=Null())
    with pytest.raises(ValueError, match="no captions"):
        queries.noisy_prediction(0, 100, given=Third(0))
    assert not queries.has_null


@torch.no_grad()
def test_a_derivative_agrees_with_a_difference() -> None:
    model = built()
    queries = of_text(model)
    along = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    found = queries.derivative(queries.start(0), 980, along, Null())
    step = 1e-2 * along
    higher, lower = (queries.predict(queries.start(0) + sign * step, 980, Null()) for sign in (1, -1))
    torch.testing.assert_close(found, (higher - lower) / 2e-2, rtol=1e-2, atol=1e-3)
    assert queries.calls == 4


class Codes(DiffusionModel):
    """A closed form on codes of half the side and 4 times the channels, with values twice as large."""

    image_shape = (1, 8, 8)
    latent_shape = (4, 4, 4)  # type: ignore[assignment]
    classes = 0
    network = None

    def __init__(self) -> None:
        self.alphas_cumprod = cosine_alphas_cumprod(1000)
        self.encoded = 0

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        self.encoded += 1
        return 2 * torch.nn.functional.pixel_unshuffle(images, 2)

    def decode(self, x_0: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pixel_shuffle(x_0, 2) / 2

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        assert x_t.shape[1:] == (4, 4, 4)
        return 0.5 * x_t.roll(1, 1)


def test_a_latent_model_is_asked_on_codes_of_views_of_images() -> None:
    model = Codes()
    queries = Queries(model, IMAGES, torch.zeros(3, dtype=torch.long), seed=3)
    assert queries.noise(0).shape == (1, 4, 4, 4)
    x_0 = model.encode(IMAGES.flip(-1))
    ab = model.alphas_cumprod[100]
    x_t = ab.sqrt() * x_0 + (1 - ab).sqrt() * queries.noise(0)
    torch.testing.assert_close(queries.noisy_prediction(0, 100, Flip()), 0.5 * x_t.roll(1, 1))
    torch.testing.assert_close(queries.clean_prediction(100), 0.5 * model.encode(IMAGES).roll(1, 1))
    encoded = model.encoded
    queries.noisy_prediction(1, 200)
    queries.noisy_prediction(1, 200, Flip())
    assert model.encoded == encoded
    assert not queries.in_pixels


@pytest.mark.parametrize("attack", [ReDiffuse(), Inpainting(repeats=2, keep=1, steps=4)])
def test_attacks_that_look_at_images_take_codes(attack: ReDiffuse | Inpainting) -> None:
    queries = Queries(Codes(), IMAGES, torch.zeros(3, dtype=torch.long), seed=3)
    found = attack.signal.measure(queries)
    assert all(len(values) == 3 for values in found.values())
    if "best" in found:
        known = found["best"][..., 4:].float() / 127.5 - 1
        torch.testing.assert_close(known, IMAGES[..., 4:], rtol=0, atol=1 / 127)


def test_samples_of_a_latent_model_are_decoded_and_codes_are_not_clipped() -> None:
    model, settings = Codes(), SamplerSettings(steps=5)
    assert not make_scheduler(model, settings).config.clip_sample
    assert make_scheduler(built(), settings).config.clip_sample
    found = make_sampler(model, settings, 3)([0, 1])
    assert found.shape == (2, 1, 8, 8)
    assert bool((found.abs() <= 1).all())
