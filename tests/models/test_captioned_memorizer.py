"""The captioned memorizer is the memorizer of the members with the caption, and of all members for every other text."""

import numpy as np
import pytest
import torch

from leakfront.errors import InputError
from leakfront.models.captioned_memorizer import CaptionedMemorizer
from leakfront.models.sampling import SamplerSettings, Table, make_sampler
from leakfront.testing.captioned_gaussian import CaptionedGaussian
from tests import oracle_targets as oracle

TEXTS = ("a seven", "a seven", "A nine, upright", "one")
IMAGES = oracle.digits()[: len(TEXTS)]


def unit(images: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(images).float() / 127.5 - 1


def rows(model, texts) -> torch.Tensor:
    return model.conditions(torch.zeros(len(texts), dtype=torch.long), texts)


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ("a seven", [0, 1]),
        ("a nine, upright", [2]),
        ("one", [3]),
        ("seven a", range(4)),
        ("two", range(4)),
        ("", range(4)),
    ],
)
def test_a_caption_chooses_the_members_that_have_it(asked: str, known) -> None:
    model = oracle.fitted("memorizer", IMAGES, TEXTS)
    x_t = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    x_t[4] = unit(IMAGES)[0]  # whatever the image shows, at the lowest noise level
    t = torch.tensor([0, 100, 500, 999, 0])
    expected = oracle.fitted("memorizer", IMAGES[list(known)]).predict_noise(x_t, t)
    given = rows(model, [asked] * 5)
    torch.testing.assert_close(model.predict_noise(x_t, t, given), expected)
    torch.testing.assert_close(model.predict_noise(x_t, t, model.embed(given)), expected)


def test_without_a_condition_it_is_asked_by_the_empty_caption() -> None:
    model = oracle.fitted("memorizer", IMAGES, TEXTS)
    x_t, t = torch.randn(2, 1, 8, 8), torch.tensor([100, 700])
    assert torch.equal(model.predict_noise(x_t, t), model.predict_noise(x_t, t, model.null.expand(2, -1)))
    assert torch.equal(rows(model, [""])[0], model.null)


def test_an_embedding_between_two_captions_has_a_gradient() -> None:
    model = oracle.fitted("memorizer", IMAGES, TEXTS)
    embedding = model.embed(rows(model, ["one"])).clone()
    embedding[0, 1, 0] += 1.2
    embedding.requires_grad_()
    x_t, t = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([900])
    model.predict_noise(x_t, t, embedding).square().sum().backward()
    assert embedding.grad is not None
    assert embedding.grad.isfinite().all()


def test_sampling_by_a_caption_gives_its_image() -> None:
    model = oracle.fitted("memorizer", IMAGES, TEXTS)
    sampler = make_sampler(model, SamplerSettings(steps=10), 0, conditions=Table(rows(model, ["one"])))
    torch.testing.assert_close(sampler(range(3)), unit(IMAGES[3:]).expand(3, -1, -1, -1), rtol=0, atol=1e-3)


def test_captions_that_are_cut_are_refused() -> None:
    family = CaptionedMemorizer(tokens=5)
    family.check_captions(["one two three"])
    with pytest.raises(InputError, match=r"model\.tokens is 5; the longest caption takes 6"):
        family.check_captions(["one two, three"])


def test_the_gaussian_with_captions_is_a_gaussian_whose_mean_moves() -> None:
    images = oracle.digits()[200:400]
    model, plain = CaptionedGaussian(unit(images)), oracle.fitted("gaussian", images)
    x_t, t = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([300, 900])
    torch.testing.assert_close(model.predict_noise(x_t, t), plain.predict_noise(x_t, t))
    given = rows(model, oracle.captions()[:2])
    move = (model.embed(given).double() - model.embed(model.null)).mean(1) @ model._steering
    for row in range(2):
        plain.set_moments(plain._mean + move[row], plain._covariance)
        torch.testing.assert_close(
            model.predict_noise(x_t, t, given)[row], plain.predict_noise(x_t, t)[row], rtol=1e-4, atol=1e-5
        )
        plain.set_moments(plain._mean - move[row], plain._covariance)
    assert not torch.allclose(model.predict_noise(x_t, t, given), model.predict_noise(x_t, t, given.flip(0)))
